"""The server's half of a step, as far as it is the same wherever the generator is on the server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.methods.server_generator.exchanges import IMAGES, Fakes
from huscf_flwr.methods.server_generator.generator import ServerGenerator
from huscf_flwr.models import weight_dtype
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import Exchange, ExecutorStep, Frames, Kind


class GeneratorExecutor(ABC):
    """Lets the generator draw and learn in the steps of one round; a subclass says how.

    All batches of fakes are as large as ``batch_size`` says, also those for a client whose own batch of real
    images is smaller.
    """

    exchanges: ClassVar[tuple[Exchange, ...]]

    def __init__(self, generator: ServerGenerator, number: int, clients: Sequence[int]) -> None:
        """Serve ``clients`` in round ``number``."""
        self.generator = generator
        self.clients = tuple(sorted(clients))
        self._number = number

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers that it computes with."""
        return self.generator.dtype

    def shape(self, kind: Kind, client: int) -> tuple[int, ...]:  # noqa: ARG002 - the same for all
        """Return the shape of one sample of ``kind``: an image's, or that of a number."""
        return self.generator.spec.image.shape if kind in IMAGES else ()

    @abstractmethod
    def step(self, number: int) -> ExecutorStep:
        """Return step ``number`` of the round, from one."""

    def fakes(self, step: int, batch: int = 1, classes: Tensor | None = None) -> Fakes:
        """Draw one of the batches of a step, both from one, with labels from ``classes`` or from all.

        Each batch has a stream of its own, so that it depends neither on other batches nor on what was done
        before.
        """
        generator = self.generator
        stream = torch_stream(generator.config.seed, "fakes", self._number, step, batch)
        return generator.draw(stream, torch.arange(generator.spec.classes) if classes is None else classes)


def summed(frames: Frames, clients: Iterable[int]) -> Tensor:
    """Return the sum, in the order of client ids, of the first tensors that ``clients`` have sent."""
    sent = torch.stack([frames[client][0] for client in sorted(clients)])
    return sent.sum(0, dtype=weight_dtype(sent.dtype))
