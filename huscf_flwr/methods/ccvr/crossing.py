"""What crosses between CCVR's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Facts, Reveal
from huscf_flwr.methods.label_counts import LabelCounts
from huscf_flwr.methods.shared_heads import HEAD

STATISTICS = "class_statistics"
"""Up, in the last round: of a client's features for the classes that it holds, ascending, ``means`` [C_k, p]
and ``covariances`` [C_k, p (p + 1) / 2], which are symmetric: the upper triangle, row by row."""
CALIBRATED_HEAD = "calibrated_head"
"""Down, before an evaluation: the head that the server has calibrated."""


class CCVROrder(Facts):
    """What a client is told beside the averaged head."""

    trains: bool
    """Train in this round, and send the head."""
    measures: bool
    """Send the statistics of the features, as they are at the end of the round."""


CROSSING = Crossing(
    description=LabelCounts,
    order=CCVROrder,
    order_kinds=(HEAD,),
    upload_kinds=(HEAD, STATISTICS),
    evaluation_kinds=(CALIBRATED_HEAD,),
    scores=("accuracy", "f1", "loss", "uncalibrated_accuracy", "uncalibrated_f1", "uncalibrated_loss"),
    # A covariance is a mean of products of features; with two images of a label it shows how they differ.
    shows_server={"counts": Reveal.LABEL_COUNTS, HEAD: Reveal.MODEL, STATISTICS: Reveal.CLASS_MEANS},
    shows_clients={
        "trains": Reveal.NOTHING,
        "measures": Reveal.NOTHING,
        HEAD: Reveal.AVERAGE,
        CALIBRATED_HEAD: Reveal.AVERAGE,
    },
)
