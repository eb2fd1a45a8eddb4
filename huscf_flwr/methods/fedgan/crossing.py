"""What crosses between FedGAN's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.whole_networks import NETWORKS

GENERATOR = "generator"
"""The averaged generator."""

CROSSING = Crossing(
    order_kinds=(NETWORKS,),
    upload_kinds=(NETWORKS,),
    product_kind=GENERATOR,
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server={NETWORKS: Reveal.MODEL},
    shows_clients={NETWORKS: Reveal.AVERAGE, GENERATOR: Reveal.AVERAGE},
)
