"""The client's half of a step.

``SplitClient.step`` reads from top to bottom as the client lives it: it yields what it sends up and is
sent what the server answers. Between two exchanges everything that autograd needs to go back stays here.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import (
    Cut,
    ModelSpec,
    NetworkName,
    check_cut,
    client_block_keys,
    head_indices,
    tail_indices,
    weight_dtype,
)
from huscf_flwr.seeding import PathPart
from huscf_flwr.split.exchange import Frame
from huscf_flwr.split.segments import AdamSettings, Segments, TrainedBlocks


@dataclass(frozen=True)
class Batch:
    """One mini-batch of a client: what never leaves it."""

    images: Tensor
    """[B, channels, size, size], from -1 to 1."""
    labels: Tensor
    """[B], int64."""
    latents: Tensor
    """[B, latent], standard normal."""


@dataclass(frozen=True)
class StepLosses:
    """Mean losses of one client in one step."""

    discriminator: float
    """Binary cross entropy on fakes plus that on real images."""
    generator: float
    """Binary cross entropy of the fakes against the target of real images."""


class NonFiniteLossError(ArithmeticError):
    """A client's loss became NaN or infinite."""


ClientStep = Generator[Frame, Frame, StepLosses]


class SplitClient:
    """One client's segments and their optimisers."""

    def __init__(
        self,
        client: int,
        spec: ModelSpec,
        cut: Cut,
        *,
        seed: int,
        owner: PathPart = "common",
        adam: AdamSettings | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Build the segments of ``cut``, weights drawn from the stream of ``owner``.

        Raises ``ValueError`` if the network does not allow the cut.
        """
        check_cut(spec, cut)
        self.client = client
        self.spec = spec
        self.cut = cut
        self.segments = Segments(
            spec, client_block_keys(spec, cut), seed=seed, owner=owner, adam=adam, dtype=dtype
        )

    def step(self, batch: Batch) -> ClientStep:
        """Train on one batch: six times yield what goes up and receive what comes down.

        Raises ``NonFiniteLossError`` before the gradients of such a loss reach anybody else.
        """
        labels = batch.labels
        generator, discriminator = self.segments.generator, self.segments.discriminator

        head_output = self._head(generator, batch.latents, labels)
        (received,) = yield (head_output.detach(),)
        tail_input = _leaf(received)
        fakes = self._tail(generator, tail_input)

        fake_head = self._head(discriminator, fakes.detach(), labels)
        real_head = self._head(discriminator, batch.images, labels)
        fake_received, real_received = yield (fake_head.detach(), real_head.detach())

        fake_tail, real_tail = _leaf(fake_received), _leaf(real_received)
        discriminator_loss = _loss(self._tail(discriminator, fake_tail), 0.0) + _loss(
            self._tail(discriminator, real_tail), 1.0
        )
        self._check_finite("discriminator", discriminator_loss)
        discriminator_loss.backward()  # type: ignore[no-untyped-call]
        gradients = yield (_gradient(fake_tail), _gradient(real_tail))
        torch.autograd.backward((fake_head, real_head), gradients)
        discriminator.apply_gradients()

        with discriminator.frozen():
            fake_head = self._head(discriminator, fakes, labels)
            (received,) = yield (fake_head.detach(),)
            fake_tail = _leaf(received)
            generator_loss = _loss(self._tail(discriminator, fake_tail), 1.0)
            self._check_finite("generator", generator_loss)
            generator_loss.backward()  # type: ignore[no-untyped-call]
        gradients = yield (_gradient(fake_tail),)
        torch.autograd.backward((fake_head,), gradients)

        gradients = yield (_gradient(tail_input),)
        torch.autograd.backward((head_output,), gradients)
        generator.apply_gradients()
        return StepLosses(discriminator_loss.item(), generator_loss.item())

    def _head(self, part: TrainedBlocks, inputs: Tensor, labels: Tensor) -> Tensor:
        return part.blocks.run(head_indices(self.cut, part.blocks.network), inputs, labels)

    def _check_finite(self, network: NetworkName, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            raise NonFiniteLossError(f"client {self.client}: the {network}'s loss is {loss.item()}")

    def _tail(self, part: TrainedBlocks, inputs: Tensor) -> Tensor:
        return part.blocks.run(tail_indices(self.spec, self.cut, part.blocks.network), inputs)


def _leaf(received: Tensor) -> Tensor:
    return received.detach().requires_grad_()


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


def _loss(logits: Tensor, target: float) -> Tensor:
    logits = logits.to(weight_dtype(logits.dtype))
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
