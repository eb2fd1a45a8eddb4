"""Both halves of methods whose clients have a classifier of their own, whatever they share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.classifier_training import CROSS_ENTROPY, ClassifierTraining
from huscf_flwr.methods.contract import (
    Classifier,
    Description,
    MessageClient,
    Method,
    Order,
    Orders,
    Parts,
    Product,
    Tensors,
)
from huscf_flwr.models import Sampler, model_spec_of
from huscf_flwr.models.classifier_spec import classifier_family_of
from huscf_flwr.models.classifiers import check_members

EVERYBODY = "everybody"
"""The only group."""


class OwnClassifiers(Method, ABC):
    """A method whose clients each train a classifier of a family, which is what it shows.

    Attributes:
        spec: of the images and their classes.
        family: of the classifiers, which have features of one width.
    """

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.spec = model_spec_of(config)
        self.family = classifier_family_of(config, self.spec)

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` if there is no such family, or a member does not fit the images."""
        check_classifiers(config)

    @classmethod
    def learning_rates(cls, config: RunConfig) -> tuple[float, ...]:
        """Return that of the classifiers."""
        return (config.classifier.learning_rate,)

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:  # noqa: ARG003 - there is nothing to draw from
        """Raise ``ValueError``: there is no generator of images."""
        raise ValueError(
            f"{cls.name} trains classifiers and has no generator, so nothing can be drawn from it"
        )

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return the batches of the largest client."""
        return self.config.local_epochs * largest_epoch(self.clients, clients, self.config)

    def products(self) -> list[Product]:
        """Return nothing: what is trained stays on the clients."""
        return []


class OwnClassifierClient(MessageClient):
    """A client whose classifier never leaves it, with its momentum."""

    losses: ClassVar[tuple[str, ...]] = (CROSS_ENTROPY,)

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self.training = ClassifierTraining(client, config)

    def classifiers(self) -> Mapping[str, Classifier]:
        """Return its only one."""
        return {"": self.training.logits_of}

    def private(self) -> Tensors:
        """Return weights and momentum."""
        return self.training.states()

    def load_private(self, tensors: Tensors) -> None:
        """Go on with them; without any the client starts anew."""
        if tensors:
            self.training.load(tensors)


def check_classifiers(config: RunConfig) -> None:
    """Raise ``ValueError`` if there is no such family, or a member does not fit the images."""
    spec = model_spec_of(config)
    check_members(classifier_family_of(config, spec), spec.image)


def told_everybody(clients: Sequence[int], parts: Parts) -> Orders:
    """Return orders with the same tensors for all ``clients``; without any, orders to train and no more."""
    if not parts:
        return Orders(clients={client: Order() for client in clients})
    return Orders(
        clients={client: Order(groups=(EVERYBODY,)) for client in clients}, groups={EVERYBODY: parts}
    )
