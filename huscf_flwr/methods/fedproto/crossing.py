"""What crosses between FedProto's clients and its server."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt, model_validator

from huscf_flwr.methods.contract import Crossing, Description, Reveal

CLASS_MEANS = "class_means"
"""Up: ``means`` [C_k, p], the means of a client's features for the classes that it holds, ascending."""
GLOBAL_MEANS = "global_means"
"""Down: ``means`` [K, p] of all clients' features for the ``classes`` [K], int64, whose mean is known."""


class FedProtoDescription(Description):
    """How a client introduces itself. The server learns which classes its images are of."""

    classes: tuple[NonNegativeInt, ...]
    """Those among its training images, ascending."""
    counts: tuple[PositiveInt, ...] | None = None
    """Training images of each, if ``fedproto.means`` weights by them; else they do not cross."""

    @model_validator(mode="after")
    def _fit_together(self) -> FedProtoDescription:
        if list(self.classes) != sorted(set(self.classes)):
            raise ValueError(f"classes are {self.classes}: give each once, ascending")
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
