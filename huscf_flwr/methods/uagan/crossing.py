"""What crosses between UA-GAN's clients and its server."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal
from huscf_flwr.methods.label_counts import LabelCounts
from huscf_flwr.methods.server_generator import FAKE_LABELS, FAKES, FAKES_SHOW, GRADIENT
from huscf_flwr.session import Exchange, Kind

LOGITS = Kind("logits of fakes", role="activation")
"""[B], by a client's discriminator."""
LOGITS_GRADIENT = Kind("gradient at logits of fakes", role="gradient")
"""[B], of the generator's loss."""

GENERATE = Exchange(1, "GENERATE", up=(), down=(FAKES, FAKE_LABELS))
JUDGE = Exchange(2, "JUDGE", up=(LOGITS,), down=(LOGITS_GRADIENT,))
CRITICISE = Exchange(3, "CRITICISE", up=(GRADIENT,), down=())


class UAGANDescription(LabelCounts):
    """How a client introduces itself. The server learns how many images of each class it has."""


CROSSING = Crossing(
    description=UAGANDescription,
    exchanges=(GENERATE, JUDGE, CRITICISE),
    product_kind="generator",
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server={
        "counts": Reveal.LABEL_COUNTS,
        LOGITS.name: Reveal.VERDICTS,
        GRADIENT.name: Reveal.VERDICTS,
    },
    # Only labels that somebody holds are drawn.
    shows_clients={
        LOGITS_GRADIENT.name: Reveal.AVERAGE,
        **FAKES_SHOW,
        FAKE_LABELS.name: Reveal.LABEL_COUNTS,
    },
)
