"""What crosses between FedGen's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.label_counts import LabelCounts
from huscf_flwr.methods.shared_heads import HEAD

GENERATOR = "generator"
"""Down: the weights of the generator of features, and the ``classes`` [K], int64, that it has learnt."""
CLASSES = "classes"

CROSSING = Crossing(
    description=LabelCounts,
    order_kinds=(GENERATOR, HEAD),
    upload_kinds=(HEAD,),
    scores=("accuracy", "f1", "loss"),
    shows_server={"counts": Reveal.LABEL_COUNTS, HEAD: Reveal.MODEL},
    shows_clients={GENERATOR: Reveal.AVERAGE, HEAD: Reveal.AVERAGE},
)
