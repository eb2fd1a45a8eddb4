import pytest
import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.fsgan.executor import FSGANExecutor
from huscf_flwr.methods.server_generator import ServerGenerator, generator, summed
from huscf_flwr.models import flatten_blocks, initial_states, model_spec_of
from huscf_flwr.seeding import torch_stream
from tests.methods.server_generator.plain import weights_of
from tests.run.builders import assert_same_to_the_bit


def small(**settings):
    given = {"model": {"width": 0.03}, "batch_size": 4, "compute": {"precision": "float64"}, **settings}
    return ServerGenerator(RunConfig.model_validate(given))


def executor(generator, number=1):
    return FSGANExecutor(generator, number, (0, 1))


def learn(generator, step=1):
    fakes = executor(generator).fakes(step)
    generator.learn([(fakes, torch.ones_like(fakes.images))])


def test_it_begins_with_the_weights_that_all_methods_begin_with():
    found = weights_of(small(seed=3))
    config = RunConfig.model_validate({"model": {"width": 0.03}})
    states = initial_states(model_spec_of(config), seed=3, dtype=torch.float64)
    expected = flatten_blocks({key: state for key, state in states.items() if key[0] == "generator"})
    assert_same_to_the_bit(found, expected)


def test_a_batch_depends_on_seed_round_step_and_place_and_on_nothing_that_was_drawn_before():
    def batch(number, step, place, seed=0):
        drawn = executor(small(seed=seed), number).fakes(step, place)
        return torch.cat([drawn.images.flatten(), drawn.labels.double()]).detach()

    places = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 1, 1, 9)]
    drawn = [batch(*place) for place in places]
    assert len({tuple(each.tolist()) for each in drawn}) == len(places)

    one = small()
    executor(one).fakes(5, 3)
    again = executor(one).fakes(1)
    assert torch.equal(torch.cat([again.images.flatten(), again.labels.double()]), drawn[0])


def test_labels_are_drawn_alike_from_the_classes_that_are_given():
    drawn = small(batch_size=400).draw(torch_stream(0, "test"), torch.tensor([2, 7])).labels
    assert set(drawn.tolist()) == {2, 7}
    assert 150 < int((drawn == 2).sum()) < 250


def test_what_is_sent_has_no_way_back():
    fakes = executor(small()).fakes(1)
    assert fakes.images.requires_grad
    assert not fakes.detached().images.requires_grad


def test_a_step_goes_against_the_gradient():
    """Gradients of one at all pixels, again and again: images become darker."""
    one = small(optimiser={"learning_rate": 0.01})
    before = executor(one).fakes(1).images.mean()
    for _ in range(5):
        learn(one)
    assert executor(one).fakes(1).images.mean() < before - 0.1


def test_without_feedback_there_is_no_step():
    one = small()
    learn(one)
    before = {name: tensor.clone() for name, tensor in one.tensors().items()}
    one.learn([])
    assert_same_to_the_bit(one.tensors(), before)


@pytest.mark.parametrize("steps", [0, 2])
def test_it_goes_on_from_its_tensors_to_the_bit(steps):
    """Also one that has taken steps itself, whose moments are then forgotten."""
    first, second = small(), small(seed=1)
    learn(second)
    for step in range(steps):
        learn(first, step)
    kept = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second.load({**kept, "of somebody else": torch.zeros(1)})
    assert_same_to_the_bit(second.tensors(), kept)
    second.config = first.config
    learn(first, 7)
    learn(second, 7)
    assert_same_to_the_bit(second.tensors(), first.tensors())


def test_its_product_is_the_generator_with_statistics_that_are_measured_once_a_step(monkeypatch):
    measured, real = [], generator.measured_generator
    monkeypatch.setattr(generator, "measured_generator", lambda *given: measured.append(1) or real(*given))
    one = small()
    for _ in range(2):
        learn(one)
        products = [one.product() for _ in range(3)]
    assert len(measured) == 2
    weights = weights_of(one)
    assert products[0].keys() == weights.keys()
    different = {name for name, tensor in weights.items() if not torch.equal(products[0][name], tensor)}
    assert {name.rsplit(".", 1)[1] for name in different} == {
        *("running_mean", "running_var", "num_batches_tracked")
    }


def test_a_sum_is_of_the_first_tensors_of_those_that_are_named():
    frames = {k: (torch.full((2, 3), float(10**k)), torch.zeros(1)) for k in (2, 0, 1)}
    assert torch.equal(summed(frames, [2, 0]), torch.full((2, 3), 101.0))


def test_narrow_numbers_are_summed_in_wider_ones():
    frames = {k: (torch.tensor([256.0 if k == 0 else 1.0], dtype=torch.bfloat16),) for k in range(3)}
    assert summed(frames, frames) == 258
