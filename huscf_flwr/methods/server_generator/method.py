"""The server's half of a method, as far as it is the same wherever the generator is on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.contract import Description, Method, Product, Tensors
from huscf_flwr.methods.generators import drawing_from
from huscf_flwr.methods.server_generator.generator import ServerGenerator
from huscf_flwr.models import Sampler


class ServerGeneratorMethod(Method):
    """One generator for all clients, trained on the server in lock-step with their discriminators.

    The server draws the labels of its fakes itself, all alike, whatever ``fake_labels`` says: it knows of no
    client's images.
    """

    epoch_rounds: ClassVar[bool]
    """Whether a round is one epoch, so that a run has ``rounds`` times ``local_epochs`` of them."""

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.generator = ServerGenerator(config)

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from the generator."""
        return drawing_from(config, product)

    @classmethod
    def rounds(cls, config: RunConfig) -> int:
        """Return how many rounds a run takes; each has the same number of epochs."""
        return config.rounds * config.local_epochs if cls.epoch_rounds else config.rounds

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return the epochs of a round times the batches of the largest client."""
        epochs = 1 if self.epoch_rounds else self.config.local_epochs
        return epochs * largest_epoch(self.clients, clients, self.config)

    def products(self) -> list[Product]:
        """Return the generator, which is everybody's.

        Its running statistics are measured as those of averaged generators are, so that all are judged alike.
        """
        return [Product("global", tuple(self.clients), self.generator.product())]
