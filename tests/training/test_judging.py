import pytest
import torch

from huscf_flwr.models import Cut, build_network, largest_cut
from huscf_flwr.training.judging import Harness, build_generator, sampler_of
from huscf_flwr.training.method import model_spec_of, population_of
from tests.training.builders import DOMAINS, coordinator_of, small_run, train_round

SAMPLES = dict.fromkeys(range(4), 30)


@pytest.fixture
def make(images, tmp_path):
    def harness_and_coordinator(**settings):
        config = small_run(images, tmp_path, **{"model.width": 0.03, **settings})
        harness = Harness(config, population_of(config, model_spec_of(config)))
        return harness, coordinator_of(config, samples=SAMPLES)

    return harness_and_coordinator


def generator_states(spec, seed=0):
    return build_network(spec, "generator", seed=seed).states()


def test_a_sampler_is_its_stream_and_its_states(tmp_path):
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    labels = torch.tensor([1, 2, 2])

    def draw(seed=0, weights=0):
        sampler = sampler_of(spec, generator_states(spec, weights), torch.float32)
        return sampler(labels, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(), draw())
    assert not torch.equal(draw(), draw(seed=1))
    assert not torch.equal(draw(), draw(weights=1))
    assert draw().shape == (3, 1, 28, 28)
    assert draw().abs().max() <= 1


def test_sampling_does_not_change_the_generator(tmp_path):
    """Running statistics neither move nor depend on who else is in the batch."""
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    states = generator_states(spec)
    generator = build_generator(spec, states, torch.float32)
    labels, latents = torch.tensor([4, 5]), torch.randn(2, 100, generator=torch.Generator())
    pair = generator(latents, labels)
    torch.testing.assert_close(generator(latents[:1], labels[:1]), pair[:1])
    assert not pair.requires_grad
    for key, state in generator.states().items():
        assert all(torch.equal(tensor, states[key][name]) for name, tensor in state.items())


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_samples_are_float32_whatever_the_run_computed_in(tmp_path, precision):
    dtype = getattr(torch, precision)
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    sampler = sampler_of(spec, generator_states(spec), dtype)
    assert sampler(torch.tensor([0]), torch.Generator()).dtype == torch.float32


def test_domains_are_judged_by_the_cluster_of_most_of_their_clients(make):
    """Clients 0 and 1 hold digits, 2 and 3 letters."""
    harness, coordinator = make()
    train_round(coordinator)
    (blocks,) = {id(b): b for b in coordinator.cluster_blocks.values()}.values()
    coordinator.cluster_blocks = dict.fromkeys((0, 1), blocks)
    coordinator.clusters = {0: 1, 1: 1, 2: 0, 3: 0}
    judged = harness.judge(coordinator, thoroughly=False)
    assert {name: scores["cluster"] for name, scores in judged.items()} == dict(
        zip(DOMAINS, (1, 0), strict=True)
    )
    assert harness.adjusted_rand_index(coordinator) == 1.0
    coordinator.clusters = dict.fromkeys(range(4), 0)
    assert harness.adjusted_rand_index(coordinator) == 0.0


def test_a_quick_look_leaves_out_what_takes_long(make):
    harness, coordinator = make()
    train_round(coordinator)
    quick = harness.judge(coordinator, thoroughly=False)["digits"]
    assert quick["label_fidelity"] is not None
    assert quick["tstr_accuracy"] is None
    thorough = harness.judge(coordinator, thoroughly=True)["digits"]
    assert None not in thorough.values()
    assert harness.judge(coordinator, thoroughly=True)["digits"] == thorough


def test_parity_judges_with_the_cut_of_a_domains_first_client(make):
    """Bodies are averaged over all clients and blocks of a cluster over its own: from the second round on it
    matters to whom a block belongs.
    """
    harness, coordinator = make(**{"method.judged": "first-client", "method.clusters": 2})
    by_cluster, _ = make()
    train_round(coordinator)
    train_round(coordinator)

    def distance(judging):
        return judging.judge(coordinator, thoroughly=True)["digits"]["fid"]

    coordinator.cuts[0] = Cut(1, 1, 1, 1)
    assert distance(harness) != distance(by_cluster)
    coordinator.cuts[0] = largest_cut(coordinator.spec)
    assert distance(harness) == distance(by_cluster)
