"""What may have a ceiling, and which attacks and findings say whether it holds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from huscf_flwr.privacy.finding import (
    DISTANCE,
    KNOWN,
    MEANS,
    NO_ACTIVATIONS,
    NO_AVERAGE,
    PSNR,
    SSIM,
    VARIATION,
    Finding,
)

NEAR: Mapping[str, str | None] = {
    "psnr": None,
    "psnr_worst_decile": "psnr_worst_decile",
    "ssim": "ssim",
}
"""How near images come: where a finding about images has it among its details, but for its own value."""
LABELS, MIX, SET, AUC, BLOCKS, EPSILON = "labels", "label_mix", "label_set", "auc", "peer_blocks", "epsilon"
"""The others. ``label_mix`` is one less the total variation; ``peer_blocks`` the share of the numbers of a
client's blocks that another one of the same average finds."""
DECIBEL = ("psnr", "psnr_worst_decile")
LIMITS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(DECIBEL, (-math.inf, math.inf)),
    "ssim": (-1, 1),
    **dict.fromkeys((LABELS, MIX, SET, AUC, BLOCKS), (0, 1)),
    EPSILON: (0, math.inf),
}
"""By name, the least and the most that it can be; more is worse."""
OF_ONE_IMAGE = (*NEAR, LABELS, AUC)
"""What an epsilon of one labelled image bounds; others are of a client's images together, or of blocks."""

_ON_IMAGES = ("A1", "A2", "A4", "A4-gradients", "A5", "A7")
_ANSWERED_BY: Mapping[str, Collection[str]] = {
    **dict.fromkeys(NEAR, _ON_IMAGES),
    LABELS: ("A1", "A2", "A3", "A4"),
    **dict.fromkeys((MIX, SET), ("A3",)),
    AUC: ("A6",),
    BLOCKS: ("A8",),
}
"""The attacks that say whether a ceiling holds."""
_ABOUT: Mapping[str, Collection[str]] = {
    **dict.fromkeys((PSNR, SSIM, MEANS), NEAR),
    VARIATION: (MIX,),
    KNOWN: (SET,),
    DISTANCE: (BLOCKS,),
}
"""The ceilings that a finding is about, by what it measures: it says of each whether it holds, or nothing."""
_NOTHING_CROSSES: Mapping[str, Collection[str]] = {
    NO_ACTIVATIONS: (*NEAR, LABELS),
    NO_AVERAGE: (BLOCKS,),
}
"""The ceilings that hold where there is nothing to attack, by the reason of a finding without a measure."""


def about(found: Finding) -> Collection[str]:
    """Return the names of ceilings of which ``found`` says whether they hold, or should."""
    if not found.measure:
        return _NOTHING_CROSSES.get(found.reason, ())
    names = _ABOUT.get(found.measure, ())
    return (*names, LABELS) if found.measure == PSNR and LABELS in found.details else names


def values_of(found: Finding) -> Iterator[tuple[str, float]]:
    """Yield what was found by the names of ceilings; of one client, where the value is a mean."""
    if found.value is None:
        return
    value = found.value if found.most is None else found.most.value
    if found.measure == VARIATION:
        yield MIX, 1 - value
    elif found.measure == KNOWN:
        yield SET, value
    elif found.measure == DISTANCE:
        yield BLOCKS, max(found.details["shares"][client] for client in found.clients)
    elif found.measure == SSIM:
        yield "ssim", value
    elif found.measure == PSNR:
        for name, key in {**NEAR, LABELS: LABELS}.items():
            if key is None:
                yield name, value
            elif key in found.details:
                yield name, float(found.details[key])


def unanswered(name: str, attacks: Collection[str]) -> Collection[str]:
    """Return the attacks that say whether a ceiling holds, unless one of them is among ``attacks``."""
    answers = _ANSWERED_BY.get(name, ())
    return () if set(answers) & set(attacks) else answers
