"""The split executor: the server's half of a step.

``SplitExecutor.step`` mirrors ``SplitClient.step``: six times it is sent the frames of all clients and
yields what goes back to each. It holds the bodies of both networks and their optimisers, and sees nothing
of a client but activations, gradients and batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from huscf_flwr.models import CPU, Cut, ModelSpec, body_block_keys, check_cut
from huscf_flwr.seeding import PathPart
from huscf_flwr.split.body import BodyPass, run_body
from huscf_flwr.split.exchange import Frame, Frames
from huscf_flwr.split.segments import AdamSettings, Segments, TrainedBlocks

Observer = Callable[[int, Tensor], Any]
"""Called with a client id and the discriminator's middle activations [B, *shape] of its real images."""

ExecutorStep = Generator[dict[int, Frame], Frames, None]


class SplitExecutor:
    """The bodies of both networks, their optimisers, and the cut of every client."""

    def __init__(
        self,
        spec: ModelSpec,
        cuts: Mapping[int, Cut],
        *,
        seed: int,
        owner: PathPart = "common",
        adam: AdamSettings | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        """Build the bodies on ``device``, weights drawn from the stream of ``owner``.

        Raises ``ValueError`` if the network does not allow one of the cuts.
        """
        for cut in cuts.values():
            check_cut(spec, cut)
        self.spec = spec
        self.cuts = dict(cuts)
        self.dtype = dtype
        self.segments = Segments(
            spec, body_block_keys(spec), seed=seed, owner=owner, adam=adam, dtype=dtype, device=device
        )

    def step(self, observe: Observer | None = None) -> ExecutorStep:
        """Serve one step: six times receive the frames of all clients and yield theirs to each.

        A client whose frames end within the step has dropped out: what it sent stays, and gradients that it
        did not send count as zero.
        """
        generator, discriminator = self.segments.generator, self.segments.discriminator
        frames = yield {}

        generator_pass = self._run(generator, self._tensors(frames))
        frames = yield _frames(generator_pass.outputs)

        fake_pass = self._run(discriminator, self._tensors(frames, 0))
        real_pass = self._run(discriminator, self._tensors(frames, 1))
        if observe is not None:
            for client, activations in real_pass.middle.items():
                observe(client, activations)
        frames = yield _frames(fake_pass.outputs, real_pass.outputs)

        fake_gradients = fake_pass.backward(self._tensors(frames, 0))
        real_gradients = real_pass.backward(self._tensors(frames, 1))
        discriminator.apply_gradients()
        frames = yield _frames(fake_gradients, real_gradients)

        with discriminator.frozen():
            fake_pass = self._run(discriminator, self._tensors(frames))
        frames = yield _frames(fake_pass.outputs)

        frames = yield _frames(fake_pass.backward(self._tensors(frames)))

        gradients = generator_pass.backward(self._tensors(frames))
        generator.apply_gradients()
        yield _frames(gradients)

    def _run(self, part: TrainedBlocks, inputs: Mapping[int, Tensor]) -> BodyPass:
        return run_body(part.blocks, self.spec, self.cuts, inputs)

    def _tensors(self, frames: Frames, position: int = 0) -> dict[int, Tensor]:
        device = self.segments.device
        return {client: frame[position].to(device) for client, frame in frames.items()}


def _frames(*tensors: Mapping[int, Tensor]) -> dict[int, Frame]:
    return {
        client: tuple(by_client[client].detach() for by_client in tensors) for client in sorted(tensors[0])
    }
