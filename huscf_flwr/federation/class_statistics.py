"""Means and covariances of each class's features over all clients, from those of each client.

CCVR (arXiv 2106.05001) draws features from them, as if from all images of a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassStatistics:
    """Of the features of some images, class by class.

    Attributes:
        classes: which these are, [K], int64, ascending.
        counts: images of each, [K], int64, one or more.
        means: [K, p].
        covariances: [K, p, p], unbiased: divided by one less than the count; zero for a class of one image.
    """

    classes: Tensor
    counts: Tensor
    means: Tensor
    covariances: Tensor


def class_statistics(features: Tensor, labels: Tensor) -> ClassStatistics:
    """Return those of ``features`` [N, p] with ``labels`` [N], computed in float64, in the features' type."""
    classes, counts = torch.unique(labels, return_counts=True)
    groups = [features[labels == each].double() for each in classes]
    means = torch.stack([group.mean(dim=0) for group in groups])
    covariances = torch.stack(
        [
            (group - mean).T @ (group - mean) / max(len(group) - 1, 1)
            for group, mean in zip(groups, means, strict=True)
        ]
    )
    return ClassStatistics(classes, counts, means.to(features.dtype), covariances.to(features.dtype))


def pooled_statistics(clients: Mapping[int, ClassStatistics]) -> ClassStatistics:
    """Return the statistics that the clients' features would have together, in float64.

    For n_k of n images, mu = sum_k n_k mu_k / n and, since local covariances S_k are divided by n_k - 1,

        S = sum_k (n_k - 1) / (n - 1) S_k + sum_k n_k / (n - 1) mu_k mu_k^T - n / (n - 1) mu mu^T

    (arXiv 2106.05001, section 4.2), here with the last two terms as sum_k n_k / (n - 1) (mu_k - mu) (mu_k -
    mu)^T, which is the same and loses no digits where means are large. Classes that nobody has are left out.

    Raises:
        ValueError: if there is no client.
    """
    if not clients:
        raise ValueError("there is no client whose statistics could be pooled")
    holders: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
    for _, own in sorted(clients.items()):
        rows = zip(own.classes.tolist(), own.counts.tolist(), own.means, own.covariances, strict=True)
        for each, count, mean, covariance in rows:
            holders.setdefault(each, []).append((count, mean.double(), covariance.double()))
    pooled = [_pooled(holders[each]) for each in sorted(holders)]
    counts, means, covariances = zip(*pooled, strict=True)
    return ClassStatistics(
        torch.tensor(sorted(holders)), torch.tensor(counts), torch.stack(means), torch.stack(covariances)
    )


def drawn_features(statistics: ClassStatistics, count: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw ``count`` features of each class from N(mean, covariance), on the CPU, in float64.

    Covariances may be singular, as those of fewer images than features are.

    Returns:
        Features [K * count, p], and their labels [K * count], int64, class after class.
    """
    width = statistics.means.shape[1]
    features = []
    for mean, covariance in zip(statistics.means.double(), statistics.covariances.double(), strict=True):
        values, vectors = torch.linalg.eigh(covariance)
        # Rounding can make the least eigenvalues of a singular matrix negative.
        root = vectors * values.clamp(min=0).sqrt()
        noise = torch.randn(count, width, generator=stream, dtype=torch.float64)
        features.append(mean + noise @ root.T)
    return torch.cat(features), statistics.classes.repeat_interleave(count)


def _pooled(holders: list[tuple[int, Tensor, Tensor]]) -> tuple[int, Tensor, Tensor]:
    """Return count, mean and covariance of one class over those that hold it."""
    total = sum(count for count, _, _ in holders)
    mean = torch.stack([count * own for count, own, _ in holders]).sum(dim=0) / total
    scatter = torch.zeros_like(holders[0][2])
    for count, own, covariance in holders:
        scatter += (count - 1) * covariance + count * torch.outer(own - mean, own - mean)
    return total, mean, scatter / max(total - 1, 1)
