"""A conditional variational autoencoder of the blocks of a conditional GAN, and a step of its training.

Its decoder is the generator. Its encoder has the discriminator's blocks, the last of which gives means and
logarithms of variances instead of one logit. So both go by the names of a GAN's networks, and are sent,
averaged, shown and sampled as these are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.models import ModelSpec
from huscf_flwr.models.spec import LinearSpec
from huscf_flwr.split import Batch, Segments


def autoencoder_spec(spec: ModelSpec) -> ModelSpec:
    """Return the networks of ``spec`` with an encoder instead of the discriminator.

    Raises ``ValueError`` if the discriminator does not end in a linear layer.
    """
    *inner, last = spec.discriminator.blocks
    if not isinstance(last, LinearSpec):
        raise ValueError(
            f"gefl.generator is cvae, but the discriminator of model.spec '{spec.name}' ends in a "
            f"{last.kind}; take a model that ends in a linear block, or dcgan"
        )
    wide = last.model_copy(update={"features": 2 * spec.latent})
    encoder = spec.discriminator.model_copy(update={"blocks": (*inner, wide)})
    return spec.model_copy(update={"discriminator": encoder})


def autoencoder_step(networks: Segments, batch: Batch, *, divergence_weight: float) -> dict[str, Tensor]:
    """Train encoder and decoder on one batch; return ``reconstruction`` and ``divergence``, scalars.

    Both are means over the batch: the sum of squared errors of an image's pixels, in [-1, 1], and the KL
    divergence of N(mean, variance) from the standard normal distribution, summed over the latent numbers. The
    latent vectors of the batch are the noise by which one is drawn from N(mean, variance).
    """
    encoder, decoder = networks.discriminator, networks.generator
    batch = batch.to(networks.device)
    means, logarithms = encoder.blocks(batch.images, batch.labels).chunk(2, dim=1)
    latents = means + torch.exp(logarithms / 2) * batch.latents
    reconstructed = decoder.blocks(latents, batch.labels)
    reconstruction = (reconstructed - batch.images).square().flatten(1).sum(dim=1).mean()
    divergence = (means.square() + logarithms.exp() - 1 - logarithms).sum(dim=1).mean() / 2
    torch.autograd.backward(reconstruction + divergence_weight * divergence)
    encoder.apply_gradients()
    decoder.apply_gradients()
    return {"reconstruction": reconstruction.detach(), "divergence": divergence.detach()}
