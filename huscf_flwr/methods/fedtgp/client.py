"""FedTGP's client: a classifier of its own, drawn to the prototypes that the server has trained."""

from __future__ import annotations

from typing import ClassVar

from huscf_flwr.methods.fedtgp.crossing import GLOBAL_PROTOTYPES
from huscf_flwr.methods.fedtgp.settings import FedTGPSettings
from huscf_flwr.methods.held_classes import HeldClasses, described
from huscf_flwr.methods.prototype_client import PrototypeClient


class FedTGPClient(PrototypeClient):
    """A client's classifier, which never leaves it, and the prototypes that it received last."""

    received_kind: ClassVar = GLOBAL_PROTOTYPES
    received_rows: ClassVar = "prototypes"

    @property
    def attraction(self) -> float:
        """Weight of the distance to the prototypes, beside the cross entropy."""
        return self.config.settings(FedTGPSettings).weight

    def describe(self) -> HeldClasses:
        """Return what the server is told before the first round: which classes there are too."""
        return described(self)
