"""The client's half of a step.

``SplitClient.step`` reads from top to bottom as the client lives it: it yields what it sends up and is
sent what the server answers. Between two exchanges everything that autograd needs to go back stays here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import (
    CPU,
    Cut,
    ModelSpec,
    check_cut,
    client_block_keys,
    head_indices,
    tail_indices,
    weight_dtype,
)
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import ClientStep, Computed, Frame, Recorder
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
    drawn_labels: Tensor | None = None
    """[B], int64, of the fakes; None if these have the labels of the images."""

    @property
    def fake_labels(self) -> Tensor:
        """[B], int64: the labels that fakes are generated with, and that the discriminator sees with them."""
        return self.labels if self.drawn_labels is None else self.drawn_labels

    @property
    def tensors(self) -> Frame:
        """What ``Batch(*tensors)`` is made of."""
        drawn = () if self.drawn_labels is None else (self.drawn_labels,)
        return self.images, self.labels, self.latents, *drawn

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        return Batch(*(tensor.to(device) for tensor in self.tensors))


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
        device: torch.device = CPU,
    ) -> None:
        """Build the segments of ``cut`` on ``device``, weights drawn from the stream of ``owner``.

        Raises ``ValueError`` if the network does not allow the cut.
        """
        check_cut(spec, cut)
        self.client = client
        self.spec = spec
        self.cut = cut
        self.segments = Segments(
            spec,
            client_block_keys(spec, cut),
            seed=seed,
            owner=owner,
            adam=adam,
            dtype=dtype,
            device=device,
        )
        self._recorder: Recorder | None = None
        if device.type == "cuda":
            self._recorder = Recorder(client, device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.segments.device

    def hosted_step(self, batch: Batch) -> ClientStep:
        """Return ``step`` as a host runs it: recorded where the device can do that. See ``side_by_side``."""
        if self._recorder is None:
            return self.step(batch)
        return self._recorder.step(lambda tensors: self.step(Batch(*tensors)), batch.tensors)

    def step(self, batch: Batch) -> ClientStep:
        """Train on one batch: six times yield what goes up and receive what comes down.

        Batch and frames may come from any device.
        """
        generator, discriminator = self.segments.generator, self.segments.discriminator
        batch = batch.to(self.device)
        fake_labels = batch.fake_labels

        head_output = self._head(generator, batch.latents, fake_labels)
        (received,) = yield Computed((head_output.detach(),))
        tail_input = self._leaf(received)
        fakes = self._tail(generator, tail_input)

        fake_head = self._head(discriminator, fakes.detach(), fake_labels)
        real_head = self._head(discriminator, batch.images, batch.labels)
        fake_received, real_received = yield Computed((fake_head.detach(), real_head.detach()))

        fake_tail, real_tail = self._leaf(fake_received), self._leaf(real_received)
        loss = adversarial_loss(self._tail(discriminator, fake_tail), 0.0) + adversarial_loss(
            self._tail(discriminator, real_tail), 1.0
        )
        torch.autograd.backward(loss)
        gradients = yield Computed(
            (_gradient(fake_tail), _gradient(real_tail)), {"discriminator": loss.detach()}
        )
        self._backward((fake_head, real_head), gradients)
        discriminator.apply_gradients()

        with discriminator.frozen():
            fake_head = self._head(discriminator, fakes, fake_labels)
            (received,) = yield Computed((fake_head.detach(),))
            fake_tail = self._leaf(received)
            loss = adversarial_loss(self._tail(discriminator, fake_tail), 1.0)
            torch.autograd.backward(loss)
        gradients = yield Computed((_gradient(fake_tail),), {"generator": loss.detach()})
        self._backward((fake_head,), gradients)

        gradients = yield Computed((_gradient(tail_input),))
        self._backward((head_output,), gradients)
        generator.apply_gradients()

    def _head(self, part: TrainedBlocks, inputs: Tensor, labels: Tensor) -> Tensor:
        return part.blocks.run(head_indices(self.cut, part.blocks.network), inputs, labels)

    def _tail(self, part: TrainedBlocks, inputs: Tensor) -> Tensor:
        return part.blocks.run(tail_indices(self.spec, self.cut, part.blocks.network), inputs)

    def _leaf(self, received: Tensor) -> Tensor:
        return received.detach().to(self.device).requires_grad_()

    def _backward(self, outputs: Frame, gradients: Frame) -> None:
        torch.autograd.backward(outputs, [gradient.to(self.device) for gradient in gradients])


@dataclass(frozen=True)
class HostedClient:
    """A client on a host, and where its batches come from."""

    split: SplitClient
    next_batch: Callable[[], Batch]

    @property
    def client(self) -> int:
        """Its id."""
        return self.split.client

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.split.device

    def step(self) -> ClientStep:
        """Return the step on the next batch."""
        return self.split.hosted_step(self.next_batch())


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


def adversarial_loss(logits: Tensor, target: float) -> Tensor:
    """Return the mean binary cross entropy of ``logits`` against the same ``target`` for all."""
    logits = logits.to(weight_dtype(logits.dtype))
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
