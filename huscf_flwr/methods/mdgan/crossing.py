"""What crosses between MD-GAN's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Facts, Reveal
from huscf_flwr.methods.server_generator import (
    FAKE_LABELS,
    FAKES,
    FAKES_SHOW,
    GRADIENT,
    JUDGED_FAKES,
    JUDGED_LABELS,
)
from huscf_flwr.session import Exchange

DISCRIMINATOR = "discriminator"
"""All blocks of a discriminator: up at the end of a round that swaps them, down to its new client."""

GENERATE = Exchange(1, "GENERATE", up=(), down=(FAKES, FAKE_LABELS, JUDGED_FAKES, JUDGED_LABELS))
CRITICISE = Exchange(2, "CRITICISE", up=(GRADIENT,), down=())


class MDGANOrder(Facts):
    """What a client is told beside its tensors."""

    swap: bool
    """Whether its discriminator goes to another client after the round."""


CROSSING = Crossing(
    order=MDGANOrder,
    order_kinds=(DISCRIMINATOR,),
    upload_kinds=(DISCRIMINATOR,),
    handed_on=(DISCRIMINATOR,),
    exchanges=(GENERATE, CRITICISE),
    product_kind="generator",
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server={DISCRIMINATOR: Reveal.MODEL, GRADIENT.name: Reveal.VERDICTS},
    shows_clients={
        "swap": Reveal.NOTHING,
        DISCRIMINATOR: Reveal.MODEL,
        JUDGED_FAKES.name: Reveal.AVERAGE,
        JUDGED_LABELS.name: Reveal.NOTHING,
        **FAKES_SHOW,
    },
)
