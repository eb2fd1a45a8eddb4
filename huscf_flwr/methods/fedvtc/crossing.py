"""What crosses between FedVTC's clients and its server."""

from __future__ import annotations

from pydantic import PositiveInt, model_validator

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.held_classes import HeldClasses
from huscf_flwr.methods.prototype_client import CLASS_MEANS

SPREAD = "spread"
"""Up: ``deviations`` [C_k, p] of the client's vectors around these means, or [p] of all classes together."""
STATISTICS = "statistics"
"""Down: ``means`` [K, p] of features, ``deviations`` [K, p] or [p] of vectors, of known ``classes`` [K]."""
DECODER = "decoder"
"""Both ways: the weights of the decoder."""
GENERATOR = "generator"
"""Down, to clients that judge it: statistics and decoder."""


class FedVTCDescription(HeldClasses):
    """How a client introduces itself: with the classes of which it has enough images, perhaps none."""

    counts: tuple[PositiveInt, ...]
    """Training images of each."""

    @model_validator(mode="after")
    def _fit_together(self) -> FedVTCDescription:
        if len(self.classes) != len(self.counts) or sum(self.counts) > self.samples:
            raise ValueError(
                f"counts are {self.counts} for the classes {self.classes} of {self.samples} samples: give "
                "one count for each class, together no more than the samples"
            )
        return self


_CLASSIFIERS = ("accuracy", "f1", "loss", "untuned_accuracy", "untuned_f1")
_STATISTICS_UP = {
    "classes": Reveal.LABEL_COUNTS,
    "counts": Reveal.LABEL_COUNTS,
    CLASS_MEANS: Reveal.CLASS_MEANS,
    SPREAD: Reveal.CLASS_MEANS,
}

SHARED = Crossing(
    description=FedVTCDescription,
    order_kinds=(STATISTICS, DECODER),
    upload_kinds=(CLASS_MEANS, SPREAD, DECODER),
    product_kind=GENERATOR,
    scores=(*_CLASSIFIERS, "tstr_accuracy", "tstr_f1"),
    shows_server={**_STATISTICS_UP, DECODER: Reveal.MODEL},
    # Of a class that one client alone tells of, the global mean is that client's, directions without spread
    # tell how many images it has, and the decoder has learned to draw it from that client's.
    shows_clients={
        STATISTICS: Reveal.LABEL_COUNTS,
        DECODER: Reveal.MODEL,
        GENERATOR: Reveal.LABEL_COUNTS,
    },
)
OWN = Crossing(
    description=FedVTCDescription,
    order_kinds=(STATISTICS,),
    upload_kinds=(CLASS_MEANS, SPREAD),
    scores=(
        *_CLASSIFIERS,
        *("label_fidelity", "generation_score", "fid", "judge_accuracy", "tstr_accuracy", "tstr_f1"),
    ),
    shows_server=_STATISTICS_UP,
    shows_clients={STATISTICS: Reveal.LABEL_COUNTS},
)
"""Without decoders, which then stay on their clients and are judged there."""
