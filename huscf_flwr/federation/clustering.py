"""Which clients belong together: clusters of clients by what the discriminator's body saw of them.

The server is never told a client's domain; it finds groups of clients with similar activations. The
authors use k-means with the true number of domains (train.py:73); ``SilhouetteKMeans`` needs no
such number, and finds one cluster where the clients do not fall into groups.

K-means numbers its clusters at will, so ``match_clusters`` gives the clusters of a round the names
of those of the round before that they continue.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

AUTHORS_RANDOM_STATE = 42
"""Seed of the authors' k-means (HuSCFGAN.py:129-182)."""


@dataclass(frozen=True)
class Clustering:
    """A partition of clients.

    Attributes:
        labels: of each client, 0 to C - 1; numbered in the order of their first members.
        silhouette: mean silhouette coefficient of the partition, -1 to 1; ``None`` where it is not
            defined: one cluster, or as many clusters as clients.
    """

    labels: tuple[int, ...]
    silhouette: float | None


class Clusterer(Protocol):
    """Partitions clients by their features."""

    def __call__(self, features: Tensor, *, seed: int) -> Clustering:
        """Partition K clients by ``features`` [K, F]; the same input and seed give the same partition."""
        ...


@dataclass(frozen=True)
class KMeans:
    """K-means with a given number of clusters, as the authors have it (HuSCFGAN.py:129-182).

    Attributes:
        clusters: how many, if there are as many clients. The authors give the true number of domains
            (train.py:73).
        restarts: initialisations, of which the best counts.
        random_state: fixes the initialisations whatever the run's seed; the authors' is 42.
    """

    clusters: int
    restarts: int = 10
    random_state: int | None = None

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters is {self.clusters}: give at least one")

    def __call__(self, features: Tensor, *, seed: int) -> Clustering:
        """Partition the clients.

        Fewer clusters come out of fewer clients, since some may have dropped out, and where clients have
        equal features.

        Raises:
            ValueError: features that are not a finite [K, F].
        """
        from sklearn.cluster import KMeans as SklearnKMeans  # noqa: PLC0415 - a ClientApp starts without it
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

        check_features(features)
        state = seed if self.random_state is None else self.random_state
        points = features.detach().cpu().double().numpy()
        clusters = min(self.clusters, len(points))
        model = SklearnKMeans(clusters, n_init=self.restarts, random_state=state % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = _in_order_of_appearance(model.fit_predict(points))
        return Clustering(labels, _silhouette(points, labels))


@dataclass(frozen=True)
class SilhouetteKMeans:
    """K-means with the number of clusters chosen by silhouette; one cluster where none is good.

    Of a k-means partition, clusters that are too small are joined to their nearest neighbours before
    it is judged: a client that is unlike all others, say because it has a single label, is an
    outlier and no domain until there is another like it. So three clients or fewer are always one
    cluster; give ``KMeans(clusters=2)`` where it is known that they differ.

    Attributes:
        max_clusters: the largest number tried; never more than clients less one.
        threshold: least silhouette of a partition that is worth it. With features scaled by
            ``samples``, observed in the last epoch of rounds, two domains of real images had 0.38 to
            0.65 and four 0.33 to 0.41, with two or three of ten labels missing per client; one domain
            had 0.29 at most, and mostly less than 0.2. Of untrained networks two domains have 0.43 to
            0.68 and four 0.69, and one domain stays below the threshold. Where clients have few labels
            in common (three each, or Dirichlet label skew of 0.3), label skew and domains look alike:
            give the number of clusters if it is known.
        smallest: least number of clients of a cluster.
        restarts: initialisations of each k-means.
    """

    max_clusters: int = 8
    threshold: float = 0.32
    smallest: int = 2
    restarts: int = 10

    def __post_init__(self) -> None:
        if self.max_clusters < 1:
            raise ValueError(f"max_clusters is {self.max_clusters}: give at least one")
        if self.smallest < 1:
            raise ValueError(f"smallest is {self.smallest}: give at least one client")
        if not -1 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}: a silhouette is between -1 and 1")

    def __call__(self, features: Tensor, *, seed: int) -> Clustering:
        """Partition the clients.

        Raises:
            ValueError: features that are not a finite [K, F].
        """
        check_features(features)
        points = features.detach().cpu().double().numpy()
        best = Clustering((0,) * len(points), None)
        for clusters in range(2, min(self.max_clusters, len(points) - 1) + 1):
            found = KMeans(clusters, self.restarts)(features, seed=seed).labels
            labels = _join_small_clusters(points, found, self.smallest)
            silhouette = _silhouette(points, labels)
            least = self.threshold if best.silhouette is None else best.silhouette
            if silhouette is not None and silhouette > least:
                best = Clustering(labels, silhouette)
        return best


def match_clusters(previous: Mapping[int, int], labels: Mapping[int, int]) -> dict[int, int]:
    """Name a round's clusters after those of the round before that they share most clients with.

    Pairs are chosen together, for the largest number of clients that keep their cluster's name
    (Hungarian method). A cluster that shares no client with the one it was paired with is new. New
    clusters get the smallest names that no other cluster of this round has, in the order of their
    smallest client ids, and not that of a cluster with an absent client, which may come back. The
    result depends on the partition only, not on its numbering.

    Args:
        previous: cluster name by client id, empty in the first round. Clients may have come and
            gone.
        labels: cluster label by client id.

    Returns:
        Cluster name by client id.
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - a ClientApp starts without it

    clients = sorted(labels)
    groups = _in_order_of_appearance([labels[client] for client in clients])
    names = sorted(set(previous.values()))
    overlap = np.zeros((max(groups, default=-1) + 1, len(names)), dtype=np.int64)
    for client, group in zip(clients, groups, strict=True):
        if client in previous:
            overlap[group, names.index(previous[client])] += 1
    pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
    kept = {int(group): names[name] for group, name in pairs if overlap[group, name]}
    absent = {previous[client] for client in previous.keys() - labels.keys()}
    free = (name for name in count() if name not in absent.union(kept.values()))
    named = {group: kept[group] if group in kept else next(free) for group in range(len(overlap))}
    return {client: named[group] for client, group in zip(clients, groups, strict=True)}


def check_features(features: Tensor) -> None:
    """Check that features are a finite [K, F] of at least one client.

    Raises:
        ValueError: they are not.
    """
    if features.dim() != 2 or 0 in features.shape:
        raise ValueError(f"clustering features must be [clients, F], found {list(features.shape)}")
    if not bool(torch.isfinite(features).all()):
        raise ValueError("clustering features are not finite: the discriminator has diverged")


def _in_order_of_appearance(labels: np.ndarray | list[int]) -> tuple[int, ...]:
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(label), len(numbers)) for label in labels)


def _join_small_clusters(points: np.ndarray, labels: tuple[int, ...], smallest: int) -> tuple[int, ...]:
    """Move the clients of clusters below ``smallest`` to the nearest centre of the others."""
    numbers = np.asarray(labels)
    large = [label for label in sorted(set(labels)) if labels.count(label) >= smallest]
    if not large:
        return (0,) * len(labels)
    centres = np.stack([points[numbers == label].mean(0) for label in large])
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    nearest = np.asarray(large)[distances.argmin(1)]
    return _in_order_of_appearance(np.where(np.isin(numbers, large), numbers, nearest))


def _silhouette(points: np.ndarray, labels: tuple[int, ...]) -> float | None:
    if not 2 <= len(set(labels)) <= len(labels) - 1:
        return None
    from sklearn.metrics import silhouette_score  # noqa: PLC0415 - a ClientApp starts without it

    return float(silhouette_score(points, labels))
