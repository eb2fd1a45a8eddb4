"""What crosses between FedTGP's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.held_classes import HeldClasses
from huscf_flwr.methods.prototype_client import CLASS_MEANS

GLOBAL_PROTOTYPES = "global_prototypes"
"""Down: ``prototypes`` [K, p], as the server has trained them, of the ``classes`` [K], int64."""

CROSSING = Crossing(
    description=HeldClasses,
    order_kinds=(GLOBAL_PROTOTYPES,),
    upload_kinds=(CLASS_MEANS,),
    evaluation_kinds=(GLOBAL_PROTOTYPES,),
    scores=("accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1"),
    shows_server={"classes": Reveal.LABEL_COUNTS, CLASS_MEANS: Reveal.CLASS_MEANS},
    shows_clients={GLOBAL_PROTOTYPES: Reveal.AVERAGE},
)
