"""FedProto's client: a classifier of its own, drawn to the global class means."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.methods.classifier_training import held_classes
from huscf_flwr.methods.fedproto.crossing import GLOBAL_MEANS, FedProtoDescription
from huscf_flwr.methods.fedproto.settings import FedProtoSettings
from huscf_flwr.methods.prototype_client import PrototypeClient


class FedProtoClient(PrototypeClient):
    """A client's classifier, which never leaves it, and the global means that it received last."""

    received_kind: ClassVar = GLOBAL_MEANS
    received_rows: ClassVar = "means"

    @property
    def attraction(self) -> float:
        """Weight of the distance to the global means, beside the cross entropy."""
        return self.config.settings(FedProtoSettings).weight

    def describe(self) -> FedProtoDescription:
        """Return what the server is told before the first round: which classes there are too.

        How many images there are of each is only told if means are weighted by it.
        """
        classes, counts = held_classes(self.images.labels)
        return FedProtoDescription(
            samples=len(self.images),
            device=self.profile,
            classes=classes,
            counts=counts if self.config.settings(FedProtoSettings).means == "counts" else None,
        )
