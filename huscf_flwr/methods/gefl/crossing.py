"""What crosses between GeFL's clients and its server."""

from __future__ import annotations

from pydantic import NonNegativeInt

from huscf_flwr.methods.contract import Crossing, Facts, Reveal
from huscf_flwr.methods.held_classes import HeldClasses
from huscf_flwr.methods.whole_networks import NETWORKS

GENERATOR = "generator"
"""Down: the averaged generator, in rounds in which classifiers are trained."""


class GeFLOrder(Facts):
    """What a client is told beside the networks."""

    classifies: bool
    """Train the classifier, with images that the generator draws; otherwise the networks."""
    classes: tuple[NonNegativeInt, ...]
    """Those that the generator has learnt, ascending: of others nothing is to be drawn."""


CROSSING = Crossing(
    description=HeldClasses,
    order=GeFLOrder,
    order_kinds=(NETWORKS, GENERATOR),
    upload_kinds=(NETWORKS,),
    scores=("accuracy", "f1", "loss"),
    shows_server={"classes": Reveal.LABEL_COUNTS, NETWORKS: Reveal.MODEL},
    shows_clients={
        "classifies": Reveal.NOTHING,
        "classes": Reveal.AVERAGE,
        NETWORKS: Reveal.AVERAGE,
        GENERATOR: Reveal.AVERAGE,
    },
)
