"""What crosses between the clients of Federated Split GANs and their server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.server_generator import FAKE_LABELS, FAKES, FAKES_SHOW, GRADIENT
from huscf_flwr.session import Exchange

DISCRIMINATOR = "discriminator"
"""All blocks of the discriminator: up as a client has trained it, down as the average."""

GENERATE = Exchange(1, "GENERATE", up=(), down=(FAKES, FAKE_LABELS))
CRITICISE = Exchange(2, "CRITICISE", up=(GRADIENT,), down=())

CROSSING = Crossing(
    order_kinds=(DISCRIMINATOR,),
    upload_kinds=(DISCRIMINATOR,),
    exchanges=(GENERATE, CRITICISE),
    product_kind="generator",
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server={DISCRIMINATOR: Reveal.MODEL, GRADIENT.name: Reveal.VERDICTS},
    shows_clients={DISCRIMINATOR: Reveal.AVERAGE, **FAKES_SHOW},
)
