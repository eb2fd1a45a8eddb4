"""FedVTC's losses: pure functions of features, statistics and images.

The sources describe them in words, and in formulas with undefined symbols. That the parts are a
reconstruction, a divergence and a matching of what is drawn is theirs; how each is summed and scaled is our
reading.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def reconstruction(drawn: Tensor, images: Tensor) -> Tensor:
    """Return the squared distance between ``drawn`` and real ``images`` [B, C, H, W], per image."""
    return (drawn - images).square().sum((1, 2, 3)).mean()


def hinge(real: Tensor, drawn: Tensor) -> Tensor:
    """Return the loss of a critic, by its verdicts [B] on ``real`` and on ``drawn`` images.

    It is zero if those of real ones are above 1 and those of drawn ones below -1.
    """
    return functional.relu(1 - real).mean() + functional.relu(1 + drawn).mean()


def alignment(features: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """Return the mean squared distance of features to the means of their classes, relative to the spread.

    The weights of the features, one over their variances, are scaled to a mean of one: otherwise a small
    spread would pull harder, and so become smaller still.

    Args:
        features: [B, p].
        means: [B, p], of each one's class.
        deviations: standard deviations [p], or [B, p] of each one's class.
    """
    weights = deviations.square().reciprocal()
    return (weights / weights.mean(-1, keepdim=True) * (features - means).square()).mean()


def divergence(features: Tensor, deviations: Tensor, means: Tensor, global_deviations: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of a client's normal distributions from the global ones.

    Summed over the features, mean over the images.

    Args:
        features: [B, p], where the client's distributions have their means.
        deviations: their standard deviations [p], or [B, p] of each one's class.
        means: [B, p], of the global distribution of each one's class.
        global_deviations: its standard deviations, [p] or [B, p].
    """
    variance, global_variance = deviations.square(), global_deviations.square()
    apart = (features - means).square()
    terms = (global_variance / variance).log() + (variance + apart) / global_variance - 1
    return terms.sum(-1).mean() / 2


def matching_of_means(features: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the squared distance between the mean of a class's features and its target, mean over classes.

    Args:
        features: [B, p] of drawn images, as an extractor sees them.
        labels: [B] of what was to be drawn.
        targets: [C, p], where the features of each class should be on average.
    """
    drawn = torch.zeros(len(targets), len(labels), dtype=features.dtype, device=features.device)
    drawn[labels, torch.arange(len(labels), device=labels.device)] = 1
    counts = drawn.sum(1, keepdim=True)
    there = counts.squeeze(1) > 0
    apart = drawn[there] @ features / counts[there] - targets[there]
    return apart.square().sum(1).mean()


def matching_of_images(features: Tensor, targets: Tensor, deviations: Tensor) -> Tensor:
    """Return the squared distance of each drawn image's features to its target, relative to the variance.

    Summed over the features, mean over the images.

    Args:
        features: [B, p] of drawn images, as an extractor sees them.
        targets: [B, p].
        deviations: standard deviations [p], or [B, p] of each one's class.
    """
    return ((features - targets) / deviations).square().sum(1).mean()
