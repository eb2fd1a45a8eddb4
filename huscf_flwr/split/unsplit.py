"""The step of one client that keeps both networks whole: what the split step is equal to."""

from __future__ import annotations

from torch import Tensor

from huscf_flwr.split.batch import Batch
from huscf_flwr.split.local_discriminator import Criticise, Learn, criticise, learn
from huscf_flwr.split.segments import Segments


def unsplit_step(
    networks: Segments, batch: Batch, *, learn: Learn = learn, criticise: Criticise = criticise
) -> dict[str, Tensor]:
    """Train both networks on one batch, the discriminator first; return their losses, scalars, by name.

    ``networks`` have all blocks. The discriminator learns from detached fakes and real images; the generator
    then from the same fakes, through the discriminator as it is now, which stays as it is. ``learn`` and
    ``criticise`` are how, as for a ``SplitClient``; a loss that ``learn`` tells nobody is left out.
    """
    generator, discriminator = networks.generator, networks.discriminator
    batch = batch.to(networks.device)
    fakes = generator.blocks(batch.latents, batch.fake_labels)
    learnt = learn(discriminator, fakes.detach(), batch)
    losses = {} if learnt is None else {"discriminator": learnt}
    losses["generator"] = criticise(discriminator, fakes, batch.fake_labels)
    generator.apply_gradients()
    return losses
