"""What crosses between HuSCF-GAN's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Description, Facts, NoFacts
from huscf_flwr.split import EXCHANGES

SEGMENTS = "segments"
"""Blocks that a client keeps: the cluster's averages down, what it trained up."""
TAKEN_BLOCKS = "blocks that change sides"
"""The server's copies of blocks that a client keeps from this round on, since its cut has grown."""
TAKEN_MOMENTS = "moments that change sides"
"""The moments of the server's optimisers for them."""
GENERATOR = "generator"
"""A cluster's whole generator."""


class HuSCFOrder(Facts):
    """What a client is told beside its tensors."""

    cut: tuple[int, int, int, int]
    """Blocks that it keeps: generator head and tail, discriminator head and tail."""


CROSSING = Crossing(
    description=Description,
    order=HuSCFOrder,
    order_kinds=(SEGMENTS, TAKEN_BLOCKS, TAKEN_MOMENTS),
    upload=NoFacts,
    upload_kinds=(SEGMENTS,),
    exchanges=EXCHANGES,
    product_kind=GENERATOR,
    scores=("tstr_accuracy", "tstr_f1"),
)
