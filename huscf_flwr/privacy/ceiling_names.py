"""What may have a ceiling, and which attacks and findings say whether it holds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from huscf_flwr.privacy.finding import (
    DISTANCE,
    KNOWN,
    MEANS,
    NO_ACTIVATIONS,
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
OF_BATCHES = (*NEAR, LABELS)
"""What is of a batch: it holds where no activation of a real image crosses, whatever is asked of one."""
OF_ONE_IMAGE = (*OF_BATCHES, AUC)
"""What an epsilon of one labelled image bounds; others are of a client's images together, or of blocks."""

_ASKED: Mapping[str, Sequence[Collection[str]]] = {
    **dict.fromkeys(NEAR, (("A1", "A2"), ("A7",))),
    LABELS: (("A1", "A2", "A3"),),
    MIX: (("A3",),),
    SET: (("A3",),),
    AUC: (("A6",),),
    BLOCKS: (("A8",),),
}
"""The attacks that must have been asked, one of each group that can be tried on the method; any other may
exceed a ceiling, and holds none."""
_ABOUT: Mapping[str, Collection[str]] = {
    **dict.fromkeys((PSNR, SSIM, MEANS), NEAR),
    VARIATION: (MIX,),
    KNOWN: (SET,),
    DISTANCE: (BLOCKS,),
}
"""The ceilings that a finding is about, by what it measures: it says of each whether it holds, or nothing."""
OF_IMAGES = ("A4", "A4-gradients", "A5")
"""Attacks on images that need not have been asked, and may have more than those that must."""
_READS_LABELS = ("A4",)
"""Attacks on images that read their labels, too."""


@dataclass(frozen=True)
class Outcome:
    """What became of a ceiling on one run."""

    name: str
    most: float
    against: tuple[str, ...]
    """Why it does not hold, a sentence each."""
    caveats: tuple[str, ...] = ()
    """What nobody has looked into, where it holds."""

    @property
    def holds(self) -> bool:
        """Whether something shows that the value is at most that."""
        return not self.against

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "holds": self.holds, "said": str(self)}

    def __str__(self) -> str:
        return f"{self.name} of at most {self.most:g} {'holds' if self.holds else 'does not hold'}"


def about(found: Finding) -> Collection[str]:
    """Return the names of ceilings of which ``found`` says whether they hold, or should."""
    if not found.measure:
        return OF_BATCHES if found.reason == NO_ACTIVATIONS else ()
    names = _ABOUT.get(found.measure, ())
    return (*names, LABELS) if found.attack in _READS_LABELS else names


def answers(name: str, found: Finding) -> bool:
    """Return whether ``found`` is of an attack that must have been asked, and about the ceiling of a name."""
    return name in about(found) and any(found.attack in group for group in _ASKED[name])


def not_asked(name: str, attacks: Collection[str], tried: Collection[str]) -> list[str]:
    """Return which attacks a ceiling misses in ``attacks``, as ``A1 or A2``; of those that can be ``tried``.

    Raises ``ValueError`` if none can be that says whether it holds.
    """
    groups = [[each for each in group if each in tried] for group in _ASKED[name]]
    if not any(groups):
        raise ValueError("no attack here on such a run says whether it holds; leave it out")
    return [" or ".join(group) for group in groups if group and not set(group) & set(attacks)]


def values_of(found: Finding) -> Iterator[tuple[str, float]]:
    """Yield what was found by the names of ceilings; of one client, where the value is a mean."""
    value, _ = found.told
    if value is None:
        return
    if found.measure == VARIATION:
        yield MIX, 1 - value
    elif found.measure == KNOWN:
        yield SET, value
    elif found.measure == DISTANCE:
        yield BLOCKS, max(found.details["shares"][client] for client in found.clients)
    elif found.measure == SSIM:
        yield "ssim", float(found.details.get("ssim", value))
    elif found.measure == PSNR:
        for name, key in {**NEAR, LABELS: LABELS}.items():
            if key is None:
                yield name, value
            elif key in found.details:
                yield name, float(found.details[key])
