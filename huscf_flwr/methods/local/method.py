"""The server of clients that train alone: it says when a round begins, and learns that it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Price, priced, whole_networks
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.contract import (
    Collected,
    Form,
    MessageClient,
    Method,
    Order,
    Orders,
    Outcome,
    Product,
    State,
    Tensors,
)
from huscf_flwr.methods.local.client import LocalClassifierClient, LocalGeneratorClient
from huscf_flwr.methods.local.crossing import CLASSIFIERS, GENERATORS
from huscf_flwr.methods.local.settings import LocalSettings
from huscf_flwr.methods.own_classifiers import check_classifiers


class Local(Method):
    """Each client trains alone: the lower anchor of all methods. Nothing crosses, nothing is on the server.

    This is the variant for generators: a client's conditional GAN is trained as FedGAN's clients train theirs
    between two averages, from initial weights of its own.
    """

    name: ClassVar = "local"
    Settings: ClassVar = LocalSettings
    client: ClassVar[type[MessageClient]] = LocalGeneratorClient
    crossing: ClassVar = GENERATORS

    @classmethod
    def variant(cls, config: RunConfig) -> type[Local]:
        """Return the class for the task of the settings."""
        return cls if config.settings(LocalSettings).task == "generator" else LocalClassifier

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> NoReturn:  # noqa: ARG003 - there is nothing to draw from
        """Raise ``ValueError``: what is trained stays on the clients."""
        raise ValueError(
            f"what {cls.name} trains stays on the clients, so nothing can be drawn from it elsewhere"
        )

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price | None:  # noqa: ARG003 - the same for all
        """Return the price of a step with both networks on the client, which stay there."""
        return priced(whole_networks(problem, sent=False), problem)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return the batches of the largest client."""
        return self.config.local_epochs * largest_epoch(self.clients, clients, self.config)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - there is nothing to say
        """Return orders to train, and no more."""
        return Orders(clients={client: Order() for client in clients})

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return that an upload has no tensors."""
        return {}

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - nothing came
        """Do nothing."""
        return Outcome()

    def products(self) -> list[Product]:
        """Return nothing: what is trained stays on the clients."""
        return []

    def state(self) -> State:
        """Return nothing: there is nothing to remember."""
        return State({}, {})

    def load(self, state: State) -> None:
        """Do nothing."""


class LocalClassifier(Local):
    """The variant for classifiers.

    They are trained as FedProto's clients train theirs, from the same initial weights, without global means.
    """

    client: ClassVar[type[MessageClient]] = LocalClassifierClient
    crossing: ClassVar = CLASSIFIERS

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> None:
        """Return None: the latency model knows the networks of ``model.spec``, and no classifiers."""

    @classmethod
    def learning_rates(cls, config: RunConfig) -> tuple[float, ...]:
        """Return that of the classifiers."""
        return (config.classifier.learning_rate,)

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` if there is no such family, or a member does not fit the images."""
        check_classifiers(config)
