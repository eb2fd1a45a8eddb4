"""The step of a client with two generators and one discriminator."""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.split import Batch, Segments, adversarial_loss
from huscf_flwr.split.segments import TrainedBlocks


def two_generator_step(
    networks: Segments, global_generator: TrainedBlocks, batch: Batch, global_latents: Tensor
) -> dict[str, Tensor]:
    """Train the three networks on one batch, the discriminator first; return their losses, scalars, by name.

    The discriminator learns from real images and from the fakes of both generators, which count half each:
    BCE(D(x), 1) + BCE(D(local), 0) / 2 + BCE(D(global), 0) / 2. Each generator then learns from its own of
    these fakes, through the discriminator as it is now.

    Args:
        networks: all blocks of the local generator and of the discriminator.
        global_generator: all blocks of the other generator.
        batch: with the latent vectors of the local generator.
        global_latents: those of the other one, in the shape of ``batch.latents``.
    """
    discriminator = networks.discriminator
    batch = batch.to(networks.device)
    labels = batch.fake_labels
    generators = {"generator": networks.generator, "global_generator": global_generator}
    latents = {"generator": batch.latents, "global_generator": global_latents.to(networks.device)}
    fakes = {name: each.blocks(latents[name], labels) for name, each in generators.items()}

    on_fakes = [adversarial_loss(discriminator.blocks(each.detach(), labels), 0.0) for each in fakes.values()]
    on_images = adversarial_loss(discriminator.blocks(batch.images, batch.labels), 1.0)
    loss = on_images + torch.stack(on_fakes).mean()
    torch.autograd.backward(loss)
    discriminator.apply_gradients()

    losses = {"discriminator": loss.detach()}
    with discriminator.frozen():
        for name, each in fakes.items():
            fooled = adversarial_loss(discriminator.blocks(each, labels), 1.0)
            torch.autograd.backward(fooled)
            losses[name] = fooled.detach()
    for generator in generators.values():
        generator.apply_gradients()
    return losses
