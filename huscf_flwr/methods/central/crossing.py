"""What central training hands between the pooled images and the server: all of it stays in a simulation."""

from __future__ import annotations

from pydantic import PositiveInt

from huscf_flwr.methods.contract import Crossing, Description, Facts, Reveal
from huscf_flwr.methods.whole_networks import NETWORKS


class PooledDescription(Description):
    """How pooled images are introduced."""

    largest: PositiveInt
    """Number of images of the client that brought most."""


class CentralOrder(Facts):
    """What a domain is told beside its tensors."""

    steps: PositiveInt
    """Batches to train on."""


# Clients are pools beside the server: clients of a federation would be sent nothing.
CROSSING = Crossing(
    description=PooledDescription,
    order=CentralOrder,
    order_kinds=(NETWORKS,),
    upload_kinds=(NETWORKS,),
    shows_server={"largest": Reveal.NOTHING, NETWORKS: Reveal.IMAGES},
    shows_clients={"steps": Reveal.NOTHING, NETWORKS: Reveal.NOTHING},
)
