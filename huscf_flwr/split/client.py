"""The client's half of a step.

``SplitClient.step`` reads from top to bottom as the client lives it: it yields what it sends up and is
sent what the server answers. Between two exchanges everything that autograd needs to go back stays here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.models import (
    CPU,
    Cut,
    ModelSpec,
    check_cut,
    client_block_keys,
    has_local_discriminator,
    head_indices,
    tail_indices,
)
from huscf_flwr.seeding import PathPart
from huscf_flwr.session import ClientStep, Computed, Frame, Recorder
from huscf_flwr.split.batch import Batch
from huscf_flwr.split.local_discriminator import (
    Criticise,
    Learn,
    Watch,
    adversarial_loss,
    criticise,
    learn,
)
from huscf_flwr.split.obfuscation import Obscure
from huscf_flwr.split.segments import AdamSettings, Segments, TrainedBlocks
from huscf_flwr.split.tampering import TamperingDetector

_Discrimination = Generator[Computed, Frame, Mapping[str, Tensor]]
"""The middle of a step, in which the discriminator learns; returns losses that nothing carried yet."""


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
        learn: Learn = learn,
        criticise: Criticise = criticise,
        obscure: Obscure | None = None,
        detector: TamperingDetector | None = None,
        may_record: bool = True,
    ) -> None:
        """Build the segments of ``cut`` on ``device``, weights drawn from the stream of ``owner``.

        ``learn`` is how a local discriminator learns, and ``criticise`` what fakes are told after it; a split
        one does both with the server, which sees what ``obscure`` makes of activations of real images.
        ``detector`` looks at what comes down. A GPU ``may_record`` the step, unless something in it is
        decided anew each time.

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
        self.local_discriminator = has_local_discriminator(spec, cut)
        self._learn, self._criticise = learn, criticise
        self._obscure = obscure
        self._detector = detector
        self._recorder: Recorder | None = None
        if device.type == "cuda" and may_record:
            self._recorder = Recorder(client, device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.segments.device

    def hosted_step(self, batch: Batch, watch: Watch | None = None) -> ClientStep:
        """Return ``step`` as a host runs it: recorded where the device can do that. See ``side_by_side``.

        A step that is watched or guarded, or obscured, is not recorded: a recording replays what the
        device does, and calls nobody.
        """
        if self._detector is not None:
            return self._detector.guarded(self.step(batch, watch))
        if self._recorder is None or watch is not None or self._obscure is not None:
            return self.step(batch, watch)
        return self._recorder.step(lambda tensors: self.step(Batch(*tensors)), batch.tensors)

    def step(self, batch: Batch, watch: Watch | None = None) -> ClientStep:
        """Train on one batch: six times yield what goes up and receive what comes down.

        With a local discriminator it is twice, and ``watch`` sees activations of the real images; where the
        discriminator is split, the executor sees them. Batch and frames may come from any device.
        """
        generator = self.segments.generator
        batch = batch.to(self.device)

        head_output = self._head(generator, batch.latents, batch.fake_labels)
        (received,) = yield Computed((head_output.detach(),))
        tail_input = self._leaf(received)
        fakes = self._tail(generator, tail_input)

        if self.local_discriminator:
            losses = self._discriminate_here(fakes, batch, watch)
        else:
            losses = yield from self._discriminate_together(fakes, batch)

        gradients = yield Computed((_gradient(tail_input),), losses)
        self._backward((head_output,), gradients)
        generator.apply_gradients()

    def _discriminate_here(self, fakes: Tensor, batch: Batch, watch: Watch | None) -> Mapping[str, Tensor]:
        """Let the discriminator learn, then criticise ``fakes``, without the server; return the losses."""
        discriminator = self.segments.discriminator
        learnt = self._learn(discriminator, fakes.detach(), batch, watch)
        told = {} if learnt is None else {"discriminator": learnt}
        return {**told, "generator": self._criticise(discriminator, fakes, batch.fake_labels)}

    def _discriminate_together(self, fakes: Tensor, batch: Batch) -> _Discrimination:
        """Do the same with the server, in four exchanges, in which the losses are told."""
        discriminator, fake_labels = self.segments.discriminator, batch.fake_labels
        fake_head = self._head(discriminator, fakes.detach(), fake_labels)
        real_head = self._head(discriminator, batch.images, batch.labels)
        shown = real_head if self._obscure is None else self._obscure(real_head)
        fake_received, real_received = yield Computed((fake_head.detach(), shown.detach()))

        fake_tail, real_tail = self._leaf(fake_received), self._leaf(real_received)
        loss = adversarial_loss(self._tail(discriminator, fake_tail), 0.0) + adversarial_loss(
            self._tail(discriminator, real_tail), 1.0
        )
        torch.autograd.backward(loss)
        gradients = yield Computed(
            (_gradient(fake_tail), _gradient(real_tail)), {"discriminator": loss.detach()}
        )
        self._backward((fake_head, shown), gradients)
        discriminator.apply_gradients()

        with discriminator.frozen():
            fake_head = self._head(discriminator, fakes, fake_labels)
            (received,) = yield Computed((fake_head.detach(),))
            fake_tail = self._leaf(received)
            loss = adversarial_loss(self._tail(discriminator, fake_tail), 1.0)
            torch.autograd.backward(loss)
        gradients = yield Computed((_gradient(fake_tail),), {"generator": loss.detach()})
        self._backward((fake_head,), gradients)
        return {}

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
