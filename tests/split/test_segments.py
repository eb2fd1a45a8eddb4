import pytest
import torch

from huscf_flwr.models import Cut, client_block_keys, largest_cut
from huscf_flwr.split import AdamSettings, Segments, SplitClient, SplitExecutor
from tests.models.specs import small_specs
from tests.split.builders import build, local_step, random_batch

SPEC = small_specs()["authors-28"]


def segments_of(cut, **settings):
    return Segments(SPEC, client_block_keys(SPEC, cut), seed=0, dtype=torch.float64, **settings)


def train(segments, batches):
    """Steps on gradients that are a function of the batch number and the parameter's name alone."""
    for number in batches:
        for part in (segments.generator, segments.discriminator):
            for name, parameter in trained(part.blocks):
                stream = torch.Generator().manual_seed(1000 * number + len(name) + parameter.numel())
                parameter.grad = torch.randn(parameter.shape, generator=stream, dtype=parameter.dtype)
            part.apply_gradients()


def trained(blocks):
    """A bias that a normalisation takes away again is no weight."""
    return [(name, parameter) for name, parameter in blocks.named_parameters() if parameter.requires_grad]


def weights(segments):
    return {
        (key, name): tensor.clone()
        for key, state in segments.states().items()
        for name, tensor in state.items()
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []


def test_moments_are_named_by_network_block_and_parameter():
    segments = segments_of(Cut())
    assert segments.moments() == {}
    train(segments, [1])
    names = set(segments.moments())
    assert "generator.0.main.weight.exp_avg" in names
    assert "discriminator.4.main.bias.step" in names
    parameters = [
        parameter
        for part in (segments.generator, segments.discriminator)
        for parameter in trained(part.blocks)
    ]
    assert len(names) == 3 * len(parameters)


def test_training_goes_on_from_weights_and_moments_as_if_it_had_not_stopped():
    whole, first, second = (segments_of(largest_cut(SPEC)) for _ in range(3))
    train(whole, [1, 2, 3])
    train(first, [1, 2])
    second.load(first.states())
    second.load_moments(first.moments())
    train(second, [3])
    assert_same(weights(second), weights(whole))
    assert_same(second.moments(), whole.moments())


def test_loaded_moments_are_copies():
    first, second = segments_of(Cut()), segments_of(Cut())
    train(first, [1])
    second.load_moments(first.moments())
    before = {name: tensor.clone() for name, tensor in second.moments().items()}
    train(first, [2])
    assert_same(second.moments(), before)


def test_a_block_changes_hands_with_its_moments_and_others_start_anew():
    """From a client that keeps one block at each end to one that keeps two."""
    light, heavy = segments_of(Cut()), segments_of(largest_cut(SPEC))
    train(light, [1])
    heavy.load_moments(light.moments())
    assert_same(heavy.moments(), light.moments())
    train(heavy, [2])
    steps = {name: int(value) for name, value in heavy.moments().items() if name.endswith(".step")}
    assert steps["generator.0.main.weight.step"] == 2
    assert steps["generator.1.main.weight.step"] == 1


def test_frozen_blocks_let_gradients_through_and_gather_none():
    part = segments_of(Cut()).generator
    before = trained(part.blocks)
    latents = torch.randn(3, SPEC.latent, generator=torch.Generator(), dtype=torch.float64).requires_grad_()
    with part.frozen():
        part.blocks.run([0], latents, torch.tensor([0, 1, 2])).square().sum().backward()
    assert latents.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in part.blocks.parameters())
    assert [name for name, _ in trained(part.blocks)] == [name for name, _ in before]


def test_the_optimiser_is_adam_with_the_given_settings():
    """The first step of Adam moves every weight by the learning rate, against the gradient's sign."""
    segments = segments_of(Cut(), adam=AdamSettings(learning_rate=0.125))
    before = weights(segments)
    for part in (segments.generator, segments.discriminator):
        for _, parameter in trained(part.blocks):
            parameter.grad = torch.ones_like(parameter)
        part.apply_gradients()
        assert all(parameter.grad is None for parameter in part.blocks.parameters())
    for part in (segments.generator, segments.discriminator):
        for name, parameter in trained(part.blocks):
            index, entry = name.split(".", 1)
            moved = parameter - before[(part.blocks.network, int(index)), entry]
            torch.testing.assert_close(moved, torch.full_like(moved, -0.125))


def test_a_step_moves_every_weight_of_either_side():
    cuts = {0: Cut(), 1: largest_cut(SPEC)}
    executor, clients = build(SPEC, cuts)
    sides = [executor.segments, *(client.segments for client in clients)]
    before = [weights(side) for side in sides]
    local_step(executor, clients, {k: random_batch(SPEC, 4, k) for k in cuts})
    for side, old in zip(sides, before, strict=True):
        still = {name for name, tensor in weights(side).items() if torch.equal(tensor, old[name])}
        assert still == {(key, "main.bias") for key, entry in old if entry == "norm.bias"}


@pytest.mark.parametrize("cut", [Cut(0, 1, 1, 1), Cut(1, 1, 1, 3)])
def test_neither_side_takes_a_cut_that_the_network_does_not_allow(cut):
    with pytest.raises(ValueError, match="authors-28 allows 1 to 2"):
        SplitClient(0, SPEC, cut, seed=0)
    with pytest.raises(ValueError, match="authors-28 allows 1 to 2"):
        SplitExecutor(SPEC, {0: Cut(), 1: cut}, seed=0)
