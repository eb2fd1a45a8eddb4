"""How well scores tell members of a training set from others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

FALSE_POSITIVES = 0.01
"""Share of non-members that may be taken for members where the rate of members that are found is told."""
LEAST_NON_MEMBERS = 100
"""With fewer, no threshold lets that share through, so nothing is told."""
_DRAWS = 400
_OUTSIDE = 0.05

Interval = tuple[float, float]
"""Of 95 %, by the bootstrap; of several attacks that are tried, that is how surely all are within theirs."""


@dataclass(frozen=True)
class Separation:
    """How well an attack tells members from others."""

    auc: float
    """Probability that a member has the higher score of a pair, ties counted half: 0.5 is chance."""
    auc_interval: Interval
    found: float | None
    """Share of the members above a threshold that 1 % of the others exceed; None with fewer than 100 others.
    Chance is 0.01; to trust it, take 1,000 others."""
    found_interval: Interval | None


def separation(members: Tensor, others: Tensor, seed: int = 0, tried: int = 1) -> Separation:
    """Return how well scores of ``members`` [N] lie above those of ``others`` [M], with intervals.

    Where so many attacks are ``tried`` and the best one counts, intervals are as much wider (Bonferroni).
    """
    ends = torch.tensor((_OUTSIDE / (2 * tried), 1 - _OUTSIDE / (2 * tried)), dtype=torch.float64)
    stream = torch.Generator().manual_seed(seed)
    drawn = [(_resampled(members, stream), _resampled(others, stream)) for _ in range(_DRAWS)]

    def interval(value: Callable[[Tensor, Tensor], float]) -> Interval:
        values = torch.tensor([value(*each) for each in drawn], dtype=torch.float64)
        low, high = values.quantile(ends).tolist()
        return low, high

    enough = len(others) >= LEAST_NON_MEMBERS
    return Separation(
        area_under_curve(members, others),
        interval(area_under_curve),
        found_at(members, others, FALSE_POSITIVES) if enough else None,
        interval(partial(found_at, false_positives=FALSE_POSITIVES)) if enough else None,
    )


def area_under_curve(members: Tensor, others: Tensor) -> float:
    """Return the share of pairs in which the member scores higher, ties counted half (Mann and Whitney)."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, members.contiguous())
    at_most = torch.searchsorted(ordered, members.contiguous(), right=True)
    return ((below + at_most).double().mean() / (2 * len(others))).item()


def found_at(members: Tensor, others: Tensor, false_positives: float) -> float:
    """Return the share of ``members`` above a threshold that so many of ``others`` exceed at most."""
    allowed = int(false_positives * len(others))
    threshold = others.sort(descending=True).values[allowed]
    return (members > threshold).double().mean().item()


def _resampled(scores: Tensor, stream: torch.Generator) -> Tensor:
    return scores[torch.randint(len(scores), (len(scores),), generator=stream)]
