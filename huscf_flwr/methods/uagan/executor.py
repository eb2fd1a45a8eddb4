"""UA-GAN's executor: one batch for all, judged by all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.methods.server_generator import GeneratorExecutor, ServerGenerator, summed
from huscf_flwr.methods.uagan.aggregation import loss_gradient
from huscf_flwr.methods.uagan.crossing import CROSSING
from huscf_flwr.models import weight_dtype
from huscf_flwr.session import ExecutorStep, Frame, Frames


class UAGANExecutor(GeneratorExecutor):
    """Sends the same fakes to all clients, and joins their judgements.

    Attributes:
        losses: the generator's, of each step so far.
    """

    exchanges: ClassVar = CROSSING.exchanges

    def __init__(
        self,
        generator: ServerGenerator,
        number: int,
        clients: Sequence[int],
        *,
        counts: Mapping[int, Sequence[int]],
    ) -> None:
        """Weigh clients by their ``counts`` of images of each class."""
        super().__init__(generator, number, clients)
        self._counts = {client: torch.tensor(counts[client]) for client in self.clients}
        self._classes = torch.stack(list(self._counts.values())).sum(0).nonzero().flatten()
        self.losses: list[float] = []

    def step(self, number: int) -> ExecutorStep:
        """Serve step ``number``.

        Labels are drawn uniformly from those that somebody in the round has. A client's share of a label is
        that among those whose logits came.
        """
        frames = yield {}
        fakes = self.fakes(number, classes=self._classes)
        frames = yield dict.fromkeys(frames, fakes.detached())
        frames = yield self._judged(frames, fakes.labels) if frames else {}
        # The chain rule adds up the ways through all discriminators.
        self.generator.learn([(fakes, summed(frames, frames))] if frames else [])
        yield dict.fromkeys(frames, ())

    def _judged(self, frames: Frames, labels: Tensor) -> dict[int, Frame]:
        """Return for each client the gradient [B] at the logits that it has sent."""
        present = sorted(frames)
        logits = torch.stack([frames[client][0] for client in present]).to(labels.device)
        counts = torch.stack([self._counts[client] for client in present]).to(labels.device)
        loss, gradients = loss_gradient(logits.to(weight_dtype(logits.dtype)), counts, labels)
        self.losses.append(loss)
        return {client: (each,) for client, each in zip(present, gradients.to(self.dtype), strict=True)}
