"""What crosses between FedProto's clients and its server."""

from __future__ import annotations

from pydantic import PositiveInt, model_validator

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.held_classes import HeldClasses
from huscf_flwr.methods.prototype_client import CLASS_MEANS

GLOBAL_MEANS = "global_means"
"""Down: ``means`` [K, p] of all clients' features for the ``classes`` [K], int64, whose mean is known."""


class FedProtoDescription(HeldClasses):
    """How a client introduces itself. The server learns which classes its images are of."""

    counts: tuple[PositiveInt, ...] | None = None
    """Training images of each, if ``fedproto.means`` weights by them; else they do not cross."""

    @model_validator(mode="after")
    def _fit_together(self) -> FedProtoDescription:
        if self.counts is None:
            return self
        if len(self.classes) != len(self.counts) or sum(self.counts) != self.samples:
            raise ValueError(
                f"counts are {self.counts} for the classes {self.classes} of {self.samples} samples: give "
                "one count for each class, which add up to the samples"
            )
        return self


CROSSING = Crossing(
    description=FedProtoDescription,
    order_kinds=(GLOBAL_MEANS,),
    upload_kinds=(CLASS_MEANS,),
    evaluation_kinds=(GLOBAL_MEANS,),
    scores=("accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1"),
    shows_server={
        "classes": Reveal.LABEL_COUNTS,
        "counts": Reveal.LABEL_COUNTS,
        CLASS_MEANS: Reveal.CLASS_MEANS,
    },
    shows_clients={GLOBAL_MEANS: Reveal.AVERAGE},
)
