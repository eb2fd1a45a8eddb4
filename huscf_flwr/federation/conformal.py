"""Conformal prediction: sets of classes in place of one, larger where a classifier is less sure.

Regularised adaptive prediction sets (RAPS, arXiv 2009.14193), without its randomisation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def raps_scores(probabilities: Tensor, *, free: int, penalty: float) -> Tensor:
    """Return how far down the list of an image's classes each class stands, [N, C].

    It is the sum of the probabilities of all classes that are no less likely, its own among them, and
    ``penalty`` for each place below the first ``free`` ones.

    Args:
        probabilities: [N, C], of which each row adds up to one.
        free: number of classes in a set that cost nothing.
        penalty: of each further one.
    """
    ordered, classes = probabilities.sort(dim=1, descending=True, stable=True)
    places = torch.arange(1, probabilities.shape[1] + 1, device=probabilities.device)
    scores = ordered.cumsum(dim=1) + penalty * (places - free).clamp(min=0)
    return torch.empty_like(scores).scatter_(1, classes, scores)


def raps_threshold(scores: Tensor, labels: Tensor, *, miss: float) -> float:
    """Return the score up to which a class is in a set, so that the true one is missed in a share ``miss``.

    That holds for images that are like the N that ``scores`` [N, C] and ``labels`` [N] are of, and on which
    the classifier was not trained. With too few images for it there is no bound, and it is infinite.
    """
    count = len(labels)
    place = math.ceil((count + 1) * (1 - miss))
    if place > count:
        return math.inf
    own = scores.gather(1, labels.unsqueeze(1)).squeeze(1)
    return float(own.sort().values[place - 1])


def prediction_sets(scores: Tensor, threshold: float) -> Tensor:
    """Return which classes are in the set of each image, bool [N, C]; the likeliest always is."""
    likeliest = functional.one_hot(scores.argmin(dim=1), scores.shape[1]).bool()
    return (scores <= threshold) | likeliest
