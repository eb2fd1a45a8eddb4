"""How features spread around their class means, on one client and over all of them.

FedVTC (arXiv 2508.01669) describes the features of a client by normal distributions: a mean for each class,
and variances without covariances. How the server puts the variances of several clients together is not known;
the rules here are our reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

SpreadRule = Literal["total", "within", "squared-counts"]
"""How variances of several clients become one.

- ``total``: the law of total variance: the mean of the clients' variances, weighted by their images, plus the
  variance of their class means around the global ones.
- ``within``: the first of the two terms. What clients disagree about is not in it.
- ``squared-counts``: the mean of the variances, weighted by the squares of the numbers of images.
"""


@dataclass(frozen=True)
class FeatureStatistics:
    """What one client says of its features.

    Attributes:
        means: [C_k, p] of the features of the classes that it tells of.
        classes: which classes these are, ascending.
        counts: images of each.
        spread: standard deviations around the class means: [p] of all classes together, or [C_k, p] of each.
    """

    means: Tensor
    classes: Sequence[int]
    counts: Sequence[int]
    spread: Tensor


def within_variance(features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared distance [p] of ``features`` [N, p] to the mean of those with their label."""
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    for each in labels.bincount().nonzero().flatten():
        own = features[labels == each].double()
        total += (own - own.mean(0)).square().sum(0)
    return (total / len(labels)).to(features.dtype)


def global_variance(
    clients: Mapping[int, FeatureStatistics], means: Tensor, *, rule: SpreadRule, per_class: bool
) -> Tensor:
    """Return the variances of all clients' features around the global ``means`` [C, p].

    Sums are computed in float64, in the order of client ids.

    Returns:
        [p], or [C, p] if they are ``per_class``: zero for a class that nobody tells of.

    Raises:
        ValueError: nobody tells of any class.
    """
    told = [each for _, each in sorted(clients.items()) if len(each.classes)]
    if not told:
        raise ValueError("no client tells of a class whose features could be described")
    if not per_class:
        counts = [sum(each.counts) for each in told]
        drifts = [_drift(each, means).sum(0) for each in told]
        return _one_variance([each.spread for each in told], counts, drifts, rule).to(means.dtype)
    found = torch.zeros_like(means)
    for label in sorted({label for each in told for label in each.classes}):
        holders = [(each, list(each.classes).index(label)) for each in told if label in each.classes]
        found[label] = _one_variance(
            [each.spread[place] for each, place in holders],
            [each.counts[place] for each, place in holders],
            [_drift(each, means)[place] for each, place in holders],
            rule,
        )
    return found


def _drift(client: FeatureStatistics, means: Tensor) -> Tensor:
    """Return squared distances [C_k, p] of a client's class means from the global ones, times its images."""
    apart = (client.means.double() - means[list(client.classes)].double()).square()
    return apart * torch.tensor(client.counts, dtype=torch.float64, device=apart.device)[:, None]


def _one_variance(
    spreads: Sequence[Tensor], counts: Sequence[int], drifts: Sequence[Tensor], rule: SpreadRule
) -> Tensor:
    """Return one variance [p] from standard deviations [p], numbers of images and ``_drift`` [p]."""
    power = 2 if rule == "squared-counts" else 1
    total = sum(count**power for count in counts)
    mean = sum(
        (
            spread.double().square() * (count**power / total)
            for spread, count in zip(spreads, counts, strict=True)
        ),
        start=torch.zeros_like(drifts[0]),
    )
    return mean + sum(drifts, start=torch.zeros_like(mean)) / sum(counts) if rule == "total" else mean
