"""What crosses where HuSCF-GAN's discriminators learn with differential privacy."""

from __future__ import annotations

from dataclasses import replace

from huscf_flwr.methods.contract import Facts, Reveal
from huscf_flwr.methods.huscf.crossing import CROSSING_LOCAL, SEGMENTS, HuSCFOrder
from huscf_flwr.split import LOCAL_EXCHANGES


class PrivateOrder(HuSCFOrder):
    """What a client is told beside its tensors."""

    steps_left: int
    """Steps of the generator in this round and in all that are to come."""


class SpentPrivacy(Facts):
    """What a client tells beside its tensors; it is worked out from no image."""

    epsilon: float
    """What it has spent of the privacy of its images in all of its trainings, at ``privacy.delta``."""


_UP = [kind.name for exchange in LOCAL_EXCHANGES for kind in exchange.up]
_DOWN = [kind.name for exchange in LOCAL_EXCHANGES for kind in exchange.down]

CROSSING_PRIVATE = replace(
    CROSSING_LOCAL,
    order=PrivateOrder,
    upload=SpentPrivacy,
    upload_kinds=(SEGMENTS,),
    product_kind="",
    scores=(),
    shows_server={**dict.fromkeys((*_UP, SEGMENTS), Reveal.BOUNDED), "epsilon": Reveal.NOTHING},
    shows_clients={
        **dict.fromkeys((*_DOWN, *CROSSING_LOCAL.order_kinds), Reveal.BOUNDED),
        "cut": Reveal.NOTHING,
        "steps_left": Reveal.NOTHING,
    },
)
"""Nobody judges with images of a client, since its scores would have no noise: there is no product for it."""
