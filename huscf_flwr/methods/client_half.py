"""The client's half of a method, beside the images: what it is told, computes, sends and keeps.

``contract`` has the server's half, and the order in which a run calls both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from huscf_flwr.accounting.releases import Releases
from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.crossing import Description, Order, Tensors, Upload
from huscf_flwr.models import Sampler
from huscf_flwr.session import ClientStep, Losses

Classifier = Callable[[Tensor], Tensor]
"""From images [N, C, H, W] in [-1, 1] to logits [N, classes]."""


class Client(ABC):
    """The client's half: lives beside its images, for one round or for many."""

    losses: ClassVar[tuple[str, ...]] = ()
    """Names of the losses that training gives.

    In lock-step a step gives all of them; a batch of a client that trains by itself may leave some out, and
    the mean of a round is over those batches that have the loss.
    """

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        """Hold the client's own training images; every random draw is from a stream of ``config.seed``."""
        self.client = client
        self.images = images
        self.profile = device
        self.config = config

    def describe(self) -> Description:
        """Return what the server is told before the first round."""
        return Description(samples=len(self.images), device=self.profile)

    @abstractmethod
    def begin(self, number: int, order: Order) -> None:
        """Begin round ``number``, from one, with what the server said."""

    @abstractmethod
    def upload(self) -> Upload:
        """Return what goes back at the end of the round; the tensors may be live."""

    def charge(self, steps: int, spent: Sequence[Releases]) -> Sequence[Releases]:  # noqa: ARG002 - most do not
        """Return what its next ``steps`` steps spend of the privacy of its images; by default nothing.

        Called after ``begin``. What it returns is written down before anything is sent, and ``spent`` in all
        later rounds and trainings on its device. Raises ``BudgetSpentError`` if that is more than is left.
        """
        return ()

    def begin_evaluation(self, order: Order) -> None:  # noqa: B027 - most clients need nothing more
        """Take what the server said before the client's own models are scored.

        Only these scores depend on it: afterwards the client is discarded, and nothing of it is kept.
        """

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return its own classifiers by name, empty for the one that it goes by; most methods have none.

        Whoever runs the client scores them on images that it has not trained on, and only the scores cross,
        which ``Crossing.scores`` lists: ``accuracy``, ``f1``, ``loss``; with a name ``prototype_accuracy``.
        """
        return {}

    def sampler(self) -> Sampler | None:
        """Return what draws labelled images from a generator that stays on the client, if it has one.

        It is judged where it is, and only the scores cross; ``Crossing.scores`` lists them.
        """
        return None

    def private(self) -> Tensors:
        """Return what it keeps for itself between rounds, on its own disk."""
        return {}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with what ``private`` returned; called before ``begin``, if anything was kept."""
        if tensors:
            raise ValueError(f"client {self.client} keeps nothing, but {sorted(tensors)} were kept")


def keeps_models(client: type[Client]) -> bool:
    """Return whether clients of this class have models of their own to evaluate."""
    return client.classifiers is not Client.classifiers or client.sampler is not Client.sampler


def may_spend(client: type[Client]) -> bool:
    """Return whether clients of this class spend of the privacy of their images, and count it."""
    return client.charge is not Client.charge


class MessageClient(Client):
    """A client that trains by itself; it lives for its turn, and goes on with what it kept in the next."""

    phases: ClassVar[tuple[str, ...]] = ("train",)
    """Names of what it does in a round, under which its memory is measured."""
    phase: str = "train"
    """What it is doing now."""

    @abstractmethod
    def train(self) -> Iterator[Losses]:
        """Train for one round; yield the losses of each batch, so that it can be watched and stopped."""


class LockStepClient(Client):
    """A client that trains in lock-step with all others, through the executor."""

    def refuses(self) -> bool:
        """Return whether it refuses what this round sent it; ``load_private`` tells it of that later."""
        return False

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def step(self) -> ClientStep:
        """Return the next step, on its next batch: a coroutine that yields what goes up."""
