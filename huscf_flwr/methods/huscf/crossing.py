"""What crosses between HuSCF-GAN's clients and its server."""

from __future__ import annotations

from dataclasses import replace

from pydantic import PositiveInt

from huscf_flwr.methods.contract import Crossing, Description, Facts, NoFacts, Reveal
from huscf_flwr.methods.label_counts import LabelCounts
from huscf_flwr.models import BlockKey, BlockStates, flatten_blocks
from huscf_flwr.session import TensorHeader
from huscf_flwr.split import EXCHANGES, LOCAL_EXCHANGES

SEGMENTS = "segments"
"""Blocks that a client keeps: the cluster's averages down, what it trained up."""
TAKEN_BLOCKS = "blocks that change sides"
"""The server's copies of blocks that a client keeps from this round on, since its cut has grown."""
TAKEN_MOMENTS = "moments that change sides"
"""The moments of the server's optimisers for them."""
STATISTICS = "statistics of activations"
"""Of a client's real images in the middle of its own discriminator, where it has all of it."""
GENERATOR = "generator"
"""A cluster's whole generator."""


class HuSCFOrder(Facts):
    """What a client is told beside its tensors."""

    cut: tuple[int, int, int, int]
    """Blocks that it keeps: generator head and tail, discriminator head and tail."""


class WindowOrder(HuSCFOrder):
    """What a client with a whole discriminator is told."""

    observed: tuple[int, int]
    """The first and the last step of the round whose activations it gathers statistics of."""


class StatisticsFacts(Facts):
    """What such a client says beside its tensors."""

    observed: PositiveInt
    """Images that its statistics are over."""


_ACTIVATIONS_UP = {
    "generator head output": Reveal.LABELS,
    "fake head output": Reveal.LABELS,
    "real head output": Reveal.IMAGES,
}
"""The heads are nearly linear maps that the server knows. Where fakes do not take their labels from the real
batch, their activations give those away no more; the real ones still give images and labels."""

_SHOWS_SERVER = {
    **{kind.name: Reveal.VERDICTS for exchange in EXCHANGES for kind in exchange.up},
    **_ACTIVATIONS_UP,
    SEGMENTS: Reveal.MODEL,
}
_SHOWS_CLIENTS = {
    "cut": Reveal.NOTHING,
    **{kind.name: Reveal.AVERAGE for exchange in EXCHANGES for kind in exchange.down},
    **dict.fromkeys((SEGMENTS, TAKEN_BLOCKS, TAKEN_MOMENTS, GENERATOR), Reveal.AVERAGE),
}
"""What comes down has been through bodies that several clients train, and through their batch statistics."""

CROSSING = Crossing(
    description=Description,
    order=HuSCFOrder,
    order_kinds=(SEGMENTS, TAKEN_BLOCKS, TAKEN_MOMENTS),
    upload=NoFacts,
    upload_kinds=(SEGMENTS,),
    exchanges=EXCHANGES,
    product_kind=GENERATOR,
    scores=("tstr_accuracy", "tstr_f1"),
    shows_server=_SHOWS_SERVER,
    shows_clients=_SHOWS_CLIENTS,
)
CROSSING_WITH_LABELS = replace(
    CROSSING,
    description=LabelCounts,
    shows_server={**CROSSING.shows_server, "counts": Reveal.LABEL_COUNTS},
)


CROSSING_LOCAL = replace(
    CROSSING,
    order=WindowOrder,
    upload=StatisticsFacts,
    upload_kinds=(SEGMENTS, STATISTICS),
    exchanges=LOCAL_EXCHANGES,
    shows_server={
        **{kind.name: Reveal.VERDICTS for exchange in LOCAL_EXCHANGES for kind in exchange.up},
        "generator head output": Reveal.LABEL_COUNTS,
        SEGMENTS: Reveal.MODEL,
        STATISTICS: Reveal.LABEL_COUNTS,
        "observed": Reveal.NOTHING,
    },
    shows_clients={
        name: shown for name, shown in _SHOWS_CLIENTS.items() if "fake" not in name and "real" not in name
    }
    | {"observed": Reveal.NOTHING},
)
"""Fakes have labels that are drawn apart, so that what the generator's head puts out tells no more of labels
than how often a client has each, and that only where they are drawn so (``own-mix``). Mean activations are
nearly a mixture of those of each label, which the server can make from fakes: they give the mix of labels
away, however fakes are drawn."""


def block_forms(states: BlockStates) -> dict[BlockKey, dict[str, TensorHeader]]:
    """Return types and shapes of the tensors of each block, by the names under which they cross."""
    return {
        key: {
            name: TensorHeader(tensor.dtype, tuple(tensor.shape))
            for name, tensor in flatten_blocks({key: state}).items()
        }
        for key, state in states.items()
    }


def group_of(cluster: int | None, key: BlockKey) -> str:
    """Return the name of the group of those that keep this block of a cluster, or of no cluster."""
    network, index = key
    return f"{'common' if cluster is None else f'cluster-{cluster}'}/{network}.{index}"
