"""FedProto's server: the means of each class over all clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.federation.prototypes import averaged_prototypes
from huscf_flwr.methods.contract import Collected, Description, Form, Orders, Outcome, State
from huscf_flwr.methods.crossing import check_kept, headers_of
from huscf_flwr.methods.fedproto.client import FedProtoClient
from huscf_flwr.methods.fedproto.crossing import CROSSING, GLOBAL_MEANS, FedProtoDescription
from huscf_flwr.methods.fedproto.settings import FedProtoSettings
from huscf_flwr.methods.held_classes import check_classes, described_by
from huscf_flwr.methods.own_classifiers import OwnClassifiers, told_everybody
from huscf_flwr.methods.prototype_client import CLASS_MEANS
from huscf_flwr.models import weight_dtype
from huscf_flwr.process import dtype_of
from huscf_flwr.session import TensorHeader


class FedProto(OwnClassifiers):
    """Federated training of classifiers that differ and stay where they are (arXiv 2105.00243).

    Clients send the means of their features for each class, and are drawn to the averages of these. The
    server keeps the last known mean of a class that nobody holds in a round; the official code forgets it.

    Attributes:
        means: [C, p], of the features of each class; zero where none is known.
        known: bool [C].
    """

    name: ClassVar = "fedproto"
    Settings: ClassVar = FedProtoSettings
    client: ClassVar = FedProtoClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start without means.

        Raises ``ValueError`` if a client holds a class that the model lacks, or tells another thing about
        its classes than the settings need.
        """
        super().__init__(config, clients)
        self.settings = config.settings(FedProtoSettings)
        self._described = described_by(self.clients, FedProtoDescription, method=self.name)
        check_classes(self._described, self.spec)
        for client, each in self._described.items():
            _check_counts(client, each, self.settings)
        classes, features = self.spec.classes, self.family.features
        self.means = torch.zeros(classes, features, dtype=weight_dtype(dtype_of(config)))
        self.known = torch.zeros(classes, dtype=torch.bool)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the known means, for everybody; before there are any, nothing."""
        classes = self.known.nonzero().squeeze(1)
        known = {GLOBAL_MEANS: {"classes": classes, "means": self.means[classes]}} if len(classes) else {}
        return told_everybody(clients, known)

    def evaluation_orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return the means that the last round has led to."""
        return self.orders(number, clients)

    def form(self, client: int) -> Form:
        """Return type and shape of the client's class means: one row for each class that it holds."""
        shape = len(self._described[client].classes), self.means.shape[1]
        return {CLASS_MEANS: {"means": TensorHeader(self.means.dtype, shape)}}

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - rounds are alike
        """Average the class means of those that took part."""
        described = {client: self._described[client] for client in collected.uploads}
        found, held = averaged_prototypes(
            {client: upload.tensors[CLASS_MEANS]["means"] for client, upload in collected.uploads.items()},
            {client: each.classes for client, each in described.items()},
            # Without counts, clients are weighted alike, so that these count for nothing.
            {client: each.counts or (1,) * len(each.classes) for client, each in described.items()},
            total_classes=len(self.known),
            weighting=self.settings.means,
        )
        self.means = torch.where(held.unsqueeze(1), found, self.means)
        self.known = self.known | held
        return Outcome()

    def state(self) -> State:
        """Return the means, and which of them are known."""
        return State({}, {"means": self.means, "known": self.known})

    def load(self, state: State) -> None:
        """Go on from the means of ``state``; raises ``ValueError`` if they are not of this model."""
        check_kept("class means:", state.tensors, headers_of(self.state().tensors))
        self.means, self.known = state.tensors["means"], state.tensors["known"]


def _check_counts(client: int, described: FedProtoDescription, settings: FedProtoSettings) -> None:
    if (described.counts is not None) != (settings.means == "counts"):
        does = "does not tell" if described.counts is None else "tells"
        raise ValueError(
            f"fedproto.means: {settings.means}, but client {client} {does} how many images it has of each "
            "class; give server and clients the same setting"
        )
