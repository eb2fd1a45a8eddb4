"""The discriminator's part of a step where one side has the whole network: nothing of it crosses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks, weight_dtype
from huscf_flwr.split.batch import Batch
from huscf_flwr.split.segments import TrainedBlocks


class Watch(NamedTuple):
    """Who looks at activations of real images, and where."""

    block: int
    """Index of the block whose output is looked at."""
    observe: Callable[[Tensor], Any]
    """Called with it, [B, *shape], detached."""


class Learn(Protocol):
    """How a whole discriminator learns in a step: everything that depends on real images."""

    def __call__(
        self, discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
    ) -> Tensor | None:
        """Change ``discriminator`` by one batch; return its loss, a scalar without a way back.

        None if nobody may know the loss, which tells something of the images.

        Args:
            discriminator: all blocks, with their optimiser.
            fakes: [B, channels, size, size], detached; they have the labels ``batch.fake_labels``.
            batch: the real images and all labels.
            watch: called once, with activations of all real images of the batch.
        """
        ...


class Criticise(Protocol):
    """How fakes are told what is wrong with them, once the discriminator has learnt."""

    def __call__(self, discriminator: TrainedBlocks, fakes: Tensor, labels: Tensor) -> Tensor:
        """Send the gradient of the generator's loss back into ``fakes``; return that loss, a scalar.

        Args:
            discriminator: all blocks, which stay as they are.
            fakes: [B, channels, size, size], with a way back.
            labels: theirs, [B].
        """
        ...


def learn(discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None) -> Tensor:
    """Take one step of the optimiser on the cross entropy of fakes against 0 plus that of reals against 1."""
    loss = adversarial_loss(discriminator.blocks(fakes, batch.fake_labels), 0.0)
    loss = loss + adversarial_loss(_judged(discriminator.blocks, batch, watch), 1.0)
    torch.autograd.backward(loss)
    discriminator.apply_gradients()
    return loss.detach()


def criticise(discriminator: TrainedBlocks, fakes: Tensor, labels: Tensor) -> Tensor:
    """Send the gradient of the generator's loss back into ``fakes``; return that loss, a scalar.

    It is their cross entropy against 1, by a discriminator that stays as it is.
    """
    with discriminator.frozen():
        loss = adversarial_loss(discriminator.blocks(fakes, labels), 1.0)
        torch.autograd.backward(loss)
    return loss.detach()


def adversarial_loss(logits: Tensor, target: float) -> Tensor:
    """Return the mean binary cross entropy of ``logits`` against the same ``target`` for all."""
    logits = logits.to(weight_dtype(logits.dtype))
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _judged(blocks: Blocks, batch: Batch, watch: Watch | None) -> Tensor:
    """Return the logits of the real images, and let ``watch`` see what it wants on the way."""
    if watch is None:
        return blocks(batch.images, batch.labels)  # type: ignore[no-any-return]
    seen = blocks.run(range(watch.block + 1), batch.images, batch.labels)
    watch.observe(seen.detach())
    return blocks.run(range(watch.block + 1, len(blocks)), seen, batch.labels)
