"""Clients that tell the server which classes their images are of, and how what they tell is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import NonNegativeInt, model_validator

from huscf_flwr.methods.classifier_training import held_classes
from huscf_flwr.methods.contract import Client, Description
from huscf_flwr.models import ModelSpec

Described = TypeVar("Described", bound=Description)


class HeldClasses(Description):
    """How a client introduces itself. The server learns which classes its images are of."""

    classes: tuple[NonNegativeInt, ...]
    """Those among its training images, ascending."""

    @model_validator(mode="after")
    def _each_once(self) -> HeldClasses:
        if list(self.classes) != sorted(set(self.classes)):
            raise ValueError(f"classes are {self.classes}: give each once, ascending")
        return self


def described(client: Client) -> HeldClasses:
    """Return how ``client`` introduces itself."""
    classes, _ = held_classes(client.images.labels)
    return HeldClasses(samples=len(client.images), device=client.profile, classes=classes)


def described_by(
    clients: Mapping[int, Description], kind: type[Described], *, method: str
) -> dict[int, Described]:
    """Return the descriptions of ``clients`` as what they must be; raises ``TypeError`` for another."""
    for description in clients.values():
        if not isinstance(description, kind):
            raise TypeError(f"a client of {method} describes itself by {kind.__name__}, not {description!r}")
    return {client: each for client, each in clients.items() if isinstance(each, kind)}


def check_classes(clients: Mapping[int, HeldClasses], spec: ModelSpec) -> None:
    """Raise ``ValueError`` if a client holds a class that the networks of ``spec`` lack."""
    for client, each in clients.items():
        if max(each.classes, default=-1) >= spec.classes:
            raise ValueError(
                f"client {client} holds the classes {each.classes}, but model.spec '{spec.name}' has "
                f"{spec.classes}, from 0: choose a model with more classes, or correct the labels"
            )
