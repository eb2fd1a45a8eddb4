import pytest
import torch

from huscf_flwr.models import build_network, load_model_spec
from huscf_flwr.models.generators import build_generator, sampler_of, with_measured_statistics
from huscf_flwr.seeding import torch_stream

SPEC = load_model_spec("authors-28", width=0.03)
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def drifted():
    """A generator with wrong running statistics, as after averaging networks that have drifted apart."""
    states = build_network(SPEC, "generator", seed=3, dtype=torch.float64).states()
    for state in states.values():
        if "norm.running_var" in state:
            state["norm.running_mean"] += 1.0
            state["norm.running_var"] *= 50.0
    return states


def measured(states, seed=0):
    return with_measured_statistics(SPEC, states, torch.float64, seed=seed)


def test_only_running_statistics_change(drifted):
    after = measured(drifted)
    assert after.keys() == drifted.keys()
    for key, state in drifted.items():
        for name, tensor in state.items():
            same = torch.equal(tensor, after[key][name])
            assert same is not name.endswith(BUFFERS), (key, name)


def test_the_input_is_not_changed(drifted):
    before = {key: {name: tensor.clone() for name, tensor in state.items()} for key, state in drifted.items()}
    measured(drifted)
    for key, state in before.items():
        for name, tensor in state.items():
            assert torch.equal(tensor, drifted[key][name])


@pytest.mark.slow
def test_normalised_activations_have_mean_zero_and_variance_one_on_new_latents(drifted):
    """In evaluation mode, BatchNorm with weight one and bias zero returns (x - mean) / deviation."""
    generator = build_generator(SPEC, measured(drifted), torch.float64)
    seen = []
    for block in generator.values():
        if isinstance(block.norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            block.norm.register_forward_hook(lambda _module, _inputs, outputs: seen.append(outputs.clone()))
    stream = torch.Generator().manual_seed(9)
    latents = torch.randn(2000, SPEC.latent, generator=stream, dtype=torch.float64)
    generator(latents, torch.randint(SPEC.classes, (2000,), generator=stream))
    assert len(seen) == 4
    for outputs in seen:
        axes = (0, *range(2, outputs.dim()))
        assert outputs.mean(axes).abs().max() < 0.3
        assert (outputs.var(axes).log().abs() < 0.4).all()


def test_the_same_seed_measures_the_same_statistics(drifted):
    first, second, other = measured(drifted), measured(drifted), measured(drifted, seed=1)
    key = ("generator", 1)
    assert torch.equal(first[key]["norm.running_var"], second[key]["norm.running_var"])
    assert not torch.equal(first[key]["norm.running_var"], other[key]["norm.running_var"])


def test_a_sampler_draws_only_from_its_stream(drifted):
    sample = sampler_of(SPEC, measured(drifted), torch.float64)
    labels = torch.arange(6)
    images = [sample(labels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert images[0].shape == (6, 1, 28, 28)
    assert images[0].dtype == torch.float32
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_measured_statistics_are_those_of_the_generators_own_activations(drifted):
    """Checked for the first block's linear layer, on four batches of 256 latent vectors and labels."""
    block = build_generator(SPEC, drifted, torch.float64).at(0)
    stream = torch_stream(3, "running statistics")
    means, variances = [], []
    for _ in range(4):
        labels = torch.randint(SPEC.classes, (256,), generator=stream)
        latents = torch.randn(256, SPEC.latent, generator=stream).double()
        outputs = block.main(torch.cat((latents, block.embedding(labels)), dim=1))
        means.append(outputs.mean(0))
        variances.append(outputs.var(0))
    found = measured(drifted, seed=3)["generator", 0]
    torch.testing.assert_close(found["norm.running_mean"], torch.stack(means).mean(0))
    torch.testing.assert_close(found["norm.running_var"], torch.stack(variances).mean(0))


def test_drawing_changes_nothing_and_images_do_not_depend_on_the_rest_of_the_batch(drifted):
    generator = build_generator(SPEC, drifted, torch.float64)
    labels = torch.tensor([4, 5])
    latents = torch.randn(2, SPEC.latent, generator=torch.Generator(), dtype=torch.float64)
    pair = generator(latents, labels)
    torch.testing.assert_close(generator(latents[:1], labels[:1]), pair[:1])
    assert not pair.requires_grad
    for key, state in generator.states().items():
        assert all(torch.equal(tensor, drifted[key][name]) for name, tensor in state.items())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_images_are_float32_between_minus_one_and_one_with_any_precision(precision):
    states = build_network(SPEC, "generator", dtype=precision).states()
    images = sampler_of(SPEC, states, precision)(torch.tensor([0, 1]), torch.Generator())
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
