"""What crosses between PFL-GAN's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Facts, Reveal
from huscf_flwr.methods.whole_networks import NETWORKS

GENERATOR = "generator"
"""A client's personal generator."""


class PFLGANOrder(Facts):
    """What a client is told beside its networks."""

    local: bool
    """Train the networks on its own images and send them back; otherwise only say how well they fit."""


CROSSING = Crossing(
    order=PFLGANOrder,
    order_kinds=(NETWORKS,),
    upload_kinds=(NETWORKS,),
    product_kind=GENERATOR,
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server={NETWORKS: Reveal.MODEL},
    # Its networks go to their own client only; generators go to whoever judges them.
    shows_clients={"local": Reveal.NOTHING, NETWORKS: Reveal.AVERAGE, GENERATOR: Reveal.MODEL},
)
