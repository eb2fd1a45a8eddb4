"""A step of the autoencoder beside one in plain PyTorch, in float64."""

import pytest
import torch

from huscf_flwr.methods.gefl.autoencoder import autoencoder_spec, autoencoder_step
from huscf_flwr.models import all_block_keys, load_model_spec
from huscf_flwr.split import AdamSettings, Batch, Segments

BATCH = 4


@pytest.fixture
def spec():
    return load_model_spec("authors-28", width=0.03)


def segments(spec, seed=0):
    keys, adam = list(all_block_keys(spec)), AdamSettings(learning_rate=0.01)
    return Segments(spec, keys, seed=seed, adam=adam, dtype=torch.float64)


def batch_of(spec):
    stream = torch.Generator().manual_seed(1)
    images = torch.rand(BATCH, *spec.image.shape, generator=stream, dtype=torch.float64) * 2 - 1
    labels = torch.randint(spec.classes, (BATCH,), generator=stream)
    return Batch(images, labels, torch.randn(BATCH, spec.latent, generator=stream, dtype=torch.float64))


def test_its_encoder_gives_a_mean_and_a_logarithm_for_each_latent_number(spec):
    found = autoencoder_spec(spec)
    assert found.discriminator_shapes[-1] == (2 * spec.latent,)
    assert found.generator == spec.generator
    assert found.discriminator.blocks[:-1] == spec.discriminator.blocks[:-1]


def test_a_discriminator_that_ends_otherwise_is_refused(spec):
    *inner, _ = spec.discriminator.blocks
    blocks = spec.discriminator.model_copy(update={"blocks": tuple(inner)})
    with pytest.raises(ValueError, match=r"gefl.generator is cvae, .* 'authors-28' ends in a convolution"):
        autoencoder_spec(spec.model_copy(update={"discriminator": blocks}))


@pytest.mark.parametrize("weight", [0.0, 2.5])
def test_a_step_is_one_of_plain_pytorch(spec, weight):
    spec = autoencoder_spec(spec)
    trained, plain, batch = segments(spec), segments(spec), batch_of(spec)
    encoder, decoder = plain.discriminator.blocks, plain.generator.blocks
    both = [each for net in (encoder, decoder) for each in net.parameters() if each.requires_grad]
    adam = torch.optim.Adam(both, lr=0.01, betas=(0.5, 0.999))

    code = encoder(batch.images, batch.labels)
    normal = torch.distributions.Normal(code[:, : spec.latent], (code[:, spec.latent :] / 2).exp())
    drawn = decoder(normal.loc + normal.scale * batch.latents, batch.labels)
    squares = torch.stack(
        [(one - other).square().sum() for one, other in zip(drawn, batch.images, strict=True)]
    )
    standard = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    apart = torch.distributions.kl_divergence(normal, standard).sum(1)
    (squares.mean() + weight * apart.mean()).backward()
    adam.step()

    found = autoencoder_step(trained, batch, divergence_weight=weight)
    assert float(found["reconstruction"]) == pytest.approx(squares.mean().item())
    assert float(found["divergence"]) == pytest.approx(apart.mean().item())
    for key, state in plain.states().items():
        for name, tensor in state.items():
            torch.testing.assert_close(trained.states()[key][name], tensor, rtol=1e-6, atol=1e-8)
