"""A8: what others have brought to an average, by taking one's own share out of it.

An average over clients k is sum w_k x_k. Who knows it, its own x and its own w is left with

    (average - w x) / (1 - w),

the average of the others, weighted as they were. Of two clients that is what the other one brought.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_MEAN, _VARIANCE = "running_mean", "running_var"


def others_average(
    average: Mapping[str, Tensor], own: Mapping[str, Tensor], weight: float, *, total_variance: bool
) -> dict[str, Tensor]:
    """Return the average of the others, float64, of each tensor that is in ``average`` and in ``own``.

    ``weight`` is one's own, of all that sum to one. With ``total_variance`` a running variance of the average
    has the spread of the running means in it too. Counts of batches say nothing, and are left out. Raises
    ``ValueError`` if nothing but one's own is in the average.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the weight is {weight}: give one from 0 on, and below 1")
    found = {}
    for name in average.keys() & own.keys():
        if not own[name].is_floating_point():
            continue
        prefix, _, leaf = name.rpartition(".")
        taken_out = _without(average, own, name, weight)
        if total_variance and leaf == _VARIANCE:
            mean = f"{prefix}.{_MEAN}"
            apart = own[mean].double() - _without(average, own, mean, weight)
            # The variance of two means with these weights is w (1 - w) times their squared distance.
            taken_out -= weight * apart.square()
        found[name] = taken_out
    return found


def _without(
    average: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str, weight: float
) -> torch.Tensor:
    return (average[name].double() - weight * own[name].double()) / (1 - weight)
