import pytest
import torch

from huscf_flwr.models import build_network
from huscf_flwr.seeding import torch_stream
from huscf_flwr.training.generators import build_generator, sampler_of, with_measured_statistics
from huscf_flwr.training.method import model_spec_of
from tests.training.builders import small_run


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


def is_statistic(name):
    return "running" in name or "num_batches" in name


@pytest.fixture
def spec(tmp_path):
    return model_spec_of(small_run(tmp_path, tmp_path))


def test_measuring_changes_running_statistics_only_and_in_a_copy(spec):
    states = generator_states(spec)
    before = {key: {n: t.clone() for n, t in state.items()} for key, state in states.items()}
    measured = with_measured_statistics(spec, states, torch.float32, seed=3)
    assert measured.keys() == states.keys()
    for key, state in states.items():
        for name, tensor in state.items():
            assert torch.equal(tensor, before[key][name])
            assert torch.equal(tensor, measured[key][name]) != is_statistic(name), (key, name)


def test_measured_statistics_are_those_of_the_generators_own_activations(spec):
    """Of the first block's linear layer, over the latent vectors and labels of four batches of 256."""
    states = generator_states(spec)
    measured = with_measured_statistics(spec, states, torch.float32, seed=3)["generator", 0]
    block = build_generator(spec, states, torch.float32).at(0)
    stream = torch_stream(3, "running statistics")
    means, variances = [], []
    for _ in range(4):
        labels = torch.randint(spec.classes, (256,), generator=stream)
        latents = torch.randn(256, spec.latent, generator=stream)
        outputs = block.main(torch.cat((latents, block.embedding(labels)), dim=1))
        means.append(outputs.mean(0))
        variances.append(outputs.var(0))
    torch.testing.assert_close(measured["norm.running_mean"], torch.stack(means).mean(0))
    torch.testing.assert_close(measured["norm.running_var"], torch.stack(variances).mean(0))


def test_statistics_that_do_not_fit_are_repaired(spec):
    """Whatever the statistics were, the images are those of the weights."""
    states = generator_states(spec)
    for state in states.values():
        if "norm.running_var" in state:
            state["norm.running_var"] = state["norm.running_var"] * 100
    broken, whole = generator_states(spec), states
    labels = torch.arange(10)

    def images(generator):
        return sampler_of(spec, generator, torch.float32)(labels, torch.Generator().manual_seed(0))

    repaired = [images(with_measured_statistics(spec, g, torch.float32, seed=0)) for g in (broken, whole)]
    torch.testing.assert_close(*repaired)
    assert not torch.allclose(images(broken), images(whole))
