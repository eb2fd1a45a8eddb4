"""Clients that tell the server how many images of each label they have."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import NonNegativeInt, model_validator

from huscf_flwr.methods.contract import Client, Description
from huscf_flwr.models import ModelSpec, model_spec_of


class LabelCounts(Description):
    """How a client introduces itself where its labels are no secret."""

    counts: tuple[NonNegativeInt, ...]
    """Training images of each label, from 0 to the last that the networks have."""

    @model_validator(mode="after")
    def _add_up(self) -> LabelCounts:
        if sum(self.counts) != self.samples:
            raise ValueError(
                f"counts are {self.counts} for {self.samples} samples: give one count for each class, which "
                "add up to the samples"
            )
        return self


def counted(client: Client) -> tuple[int, ...]:
    """Return how many images of each label ``client`` has."""
    counts = client.images.labels.bincount(minlength=model_spec_of(client.config).classes)
    return tuple(counts.tolist())


def check_counts(clients: Mapping[int, LabelCounts], spec: ModelSpec) -> None:
    """Raise ``ValueError`` if a client counts images of another number of classes than ``spec`` has."""
    for client, each in clients.items():
        if len(each.counts) != spec.classes:
            raise ValueError(
                f"client {client} counts images of {len(each.counts)} classes, but model.spec '{spec.name}' "
                f"has {spec.classes}: choose a model with as many classes, or correct the labels"
            )
