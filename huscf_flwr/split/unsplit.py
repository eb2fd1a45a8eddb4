"""The step of one client that keeps both networks whole: what the split step is equal to."""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.split.client import Batch, adversarial_loss
from huscf_flwr.split.segments import Segments


def unsplit_step(networks: Segments, batch: Batch) -> dict[str, Tensor]:
    """Train both networks on one batch, the discriminator first; return their losses, scalars, by name.

    ``networks`` have all blocks. The discriminator learns from detached fakes and real images; the generator
    then from the same fakes, through the discriminator as it is now, which stays as it is.
    """
    generator, discriminator = networks.generator, networks.discriminator
    batch = batch.to(networks.device)
    fake_labels = batch.fake_labels
    fakes = generator.blocks(batch.latents, fake_labels)

    loss = adversarial_loss(discriminator.blocks(fakes.detach(), fake_labels), 0.0) + adversarial_loss(
        discriminator.blocks(batch.images, batch.labels), 1.0
    )
    torch.autograd.backward(loss)
    discriminator.apply_gradients()

    with discriminator.frozen():
        generator_loss = adversarial_loss(discriminator.blocks(fakes, fake_labels), 1.0)
        torch.autograd.backward(generator_loss)
    generator.apply_gradients()
    return {"discriminator": loss.detach(), "generator": generator_loss.detach()}
