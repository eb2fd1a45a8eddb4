"""What crosses between HFL-GAN's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.whole_networks import NETWORKS

GLOBAL_GENERATOR = "global_generator"
"""The generator that all clients average; ``NETWORKS`` are the local one and the discriminator."""
GENERATOR = "generator"
"""The generator that is judged."""

CROSSING = Crossing(
    order_kinds=(NETWORKS, GLOBAL_GENERATOR),
    upload_kinds=(NETWORKS, GLOBAL_GENERATOR),
    product_kind=GENERATOR,
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server={NETWORKS: Reveal.MODEL, GLOBAL_GENERATOR: Reveal.MODEL},
    shows_clients=dict.fromkeys((NETWORKS, GLOBAL_GENERATOR, GENERATOR), Reveal.AVERAGE),
)
