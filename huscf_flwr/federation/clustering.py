"""Clustering of clients by their activations in the discriminator's body.

The server is never told a client's domain; it finds groups of clients with similar activations. The
authors use k-means with the true number of domains (train.py:73). ``SilhouetteKMeans`` does not need that
number, and finds a single cluster if the clients do not fall into groups.

K-means numbers its clusters arbitrarily, so ``match_clusters`` carries the names of clusters over from one
round to the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from huscf_flwr.extras import extra


@dataclass(frozen=True)
class Clustering:
    """A partition of clients.

    Attributes:
        labels: each client's cluster, 0 to C - 1; clusters are numbered in the order of their first members.
        silhouette: mean silhouette coefficient of the partition, -1 to 1. ``None`` if it is undefined, with
            one cluster or as many clusters as clients.
    """

    labels: tuple[int, ...]
    silhouette: float | None


class Clusterer(Protocol):
    """Partitions clients by their features."""

    def __call__(self, features: Tensor, *, seed: int) -> Clustering:
        """Partition K clients by ``features`` [K, F]; the same input and seed give the same partition."""
        ...


@runtime_checkable
class RecallingClusterer(Clusterer, Protocol):
    """A clusterer that can make use of where clusters were found in earlier rounds.

    One that is not can be used in rounds that see only some of the clients, too, but finds less in them.
    """

    def recall(self, features: Tensor, places: Tensor, *, elsewhere: int, seed: int) -> Clustering:
        """Partition K clients by ``features`` [K, F], and with them P known clusters, by ``places`` [P, F].

        ``elsewhere`` is the number of further known clusters, of which nobody is here. The labels are those
        of the clients and then of the places; the silhouette is of the clients alone.
        """
        ...


@dataclass(frozen=True)
class KMeans:
    """K-means with a given number of clusters, as in the authors' code (HuSCFGAN.py:129-182).

    Attributes:
        clusters: number of clusters; fewer if there are fewer clients. The authors give the true number of
            domains (train.py:73).
        restarts: number of initialisations; the best result is kept.
        random_state: seed of the initialisations, used instead of the run's; the authors' is 42.
    """

    clusters: int
    restarts: int = 10
    random_state: int | None = None

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters is {self.clusters}: give at least one")

    def __call__(self, features: Tensor, *, seed: int) -> Clustering:
        """Partition the clients.

        The result has fewer clusters if there are fewer clients, since some may have dropped out, or if
        clients have equal features.

        Raises:
            ValueError: features that are not a finite [K, F].
        """
        with extra("server", "clustering"):
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

    def recall(self, features: Tensor, places: Tensor, *, elsewhere: int, seed: int) -> Clustering:
        """Partition clients and places; of the clusters that it is to find, those ``elsewhere`` are not here.

        Raises:
            ValueError: features that are not a finite [K, F].
        """
        check_features(features)
        here = replace(self, clusters=max(1, self.clusters - elsewhere))
        labels = here(torch.cat([features, places]), seed=seed).labels
        points = features.detach().cpu().double().numpy()
        return Clustering(labels, _silhouette(points, labels[: len(points)]))


@dataclass(frozen=True)
class SilhouetteKMeans:
    """K-means with the number of clusters chosen by silhouette; one cluster if no partition is good enough.

    Each cluster that is found is searched in the same way for clusters within it. Two domains that are alike
    have a low silhouette beside a third that is far from both, and would be one cluster: photographs and
    paintings beside sketches.

    Before a partition is scored, clusters that are too small are merged into their nearest neighbours. A
    client unlike all others, for instance one with a single label, is an outlier and not a domain until there
    is another like it. Three clients or fewer are therefore always one cluster; use ``KMeans(clusters=2)`` if
    they are known to differ.

    Attributes:
        max_clusters: largest number found; never more than the number of clients less one.
        threshold: least silhouette that a partition needs. With features scaled by ``samples``, observed
            in the last epoch of rounds, two domains of real images had 0.38 to 0.65 and four had 0.33 to
            0.41, with two or three of ten labels missing per client; one domain had at most 0.29, and
            mostly less than 0.2. With untrained networks two domains have 0.43 to 0.68 and four have 0.69,
            and one domain stays below the threshold. If clients have few labels in common (three each, or
            Dirichlet label skew of 0.3), label skew looks like domains: give the number of clusters if it
            is known.
        smallest: least number of clients in a cluster.
        restarts: number of initialisations of each k-means.
        random_state: seed of the initialisations, used instead of the run's.
    """

    max_clusters: int = 8
    threshold: float = 0.32
    smallest: int = 2
    restarts: int = 10
    random_state: int | None = None

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
        return self._found(features, len(features), seed)

    def recall(
        self,
        features: Tensor,
        places: Tensor,
        *,
        elsewhere: int,  # noqa: ARG002 - it counts clusters itself
        seed: int,
    ) -> Clustering:
        """Partition clients and places.

        A client that is the only one of its cluster has the cluster's place for company, and is no outlier.
        How good a partition is, clients alone decide: a place is near to those clients that it was taken of,
        and would speak for whatever was once found.

        Raises:
            ValueError: features that are not a finite [K, F].
        """
        check_features(features)
        return self._found(torch.cat([features, places]), len(features), seed)

    def _found(self, features: Tensor, clients: int, seed: int) -> Clustering:
        """Return the partition of ``features``, of which the first are those of ``clients``."""
        points = features.detach().cpu().double().numpy()
        whole: list[np.ndarray] = []
        unsearched = [np.arange(len(points))]
        while unsearched:
            members = unsearched.pop()
            room = self.max_clusters - len(whole) - len(unsearched)
            parts = np.asarray(self._best(points[members], int((members < clients).sum()), room, seed))
            found = [members[parts == part] for part in sorted(set(parts))]
            if len(found) > 1:
                unsearched += found
            else:
                whole.append(members)
        labels = _in_order_of_appearance(
            next(number for number, members in enumerate(whole) if point in members)
            for point in range(len(points))
        )
        return Clustering(labels, _silhouette(points[:clients], labels[:clients]))

    def _best(self, points: np.ndarray, clients: int, most: int, seed: int) -> tuple[int, ...]:
        """Return the best partition of ``points``, of which the first are those of ``clients``.

        If none is good enough, all are one.
        """
        best, least = (0,) * len(points), self.threshold
        for clusters in range(2, min(most, clients, len(points) - 1) + 1):
            found = KMeans(clusters, self.restarts, self.random_state)(torch.from_numpy(points), seed=seed)
            labels = _join_small_clusters(points, found.labels, self.smallest)
            silhouette = _silhouette(points[:clients], labels[:clients])
            if silhouette is not None and silhouette > least:
                best, least = labels, silhouette
        return best


def match_clusters(previous: Mapping[int, int], labels: Mapping[int, int]) -> dict[int, int]:
    """Name each cluster of a round after the cluster of the round before with which it shares most clients.

    All pairs are chosen together, so that as many clients as possible keep their cluster's name (Hungarian
    method). A cluster that shares no client with its partner is new. New clusters are named in the order of
    their smallest client ids, each with the smallest name that is free: not taken by another cluster of this
    round, nor by the cluster of an absent client, who may come back. The result depends on the partition
    only, not on its numbering.

    Args:
        previous: cluster name by client id, empty in the first round. The clients need not be the same.
        labels: cluster label by client id.

    Returns:
        Cluster name by client id.
    """
    with extra("server", "clustering"):
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
    """Check that features are finite, of shape [K, F], with at least one client.

    Raises:
        ValueError: they are not.
    """
    if features.dim() != 2 or 0 in features.shape:
        raise ValueError(f"clustering features must be [clients, F], found {list(features.shape)}")
    if not bool(torch.isfinite(features).all()):
        raise ValueError("clustering features are not finite: the discriminator has diverged")


def _in_order_of_appearance(labels: Iterable[int]) -> tuple[int, ...]:
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(int(label), len(numbers)) for label in labels)


def join_small_clusters(found: Clustering, features: Tensor, smallest: int) -> Clustering:
    """Move the clients of clusters smaller than ``smallest`` to the nearest large cluster.

    If none is large enough, all are one.

    Args:
        found: of K clients.
        features: by which they were clustered, [K, F].
        smallest: least number of clients in a cluster.
    """
    points = features.detach().cpu().double().numpy()
    labels = _join_small_clusters(points, found.labels, smallest)
    return found if labels == found.labels else Clustering(labels, _silhouette(points, labels))


def _join_small_clusters(points: np.ndarray, labels: tuple[int, ...], smallest: int) -> tuple[int, ...]:
    """Move the clients of clusters smaller than ``smallest`` to the nearest large cluster."""
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
    with extra("server", "clustering"):
        from sklearn.metrics import silhouette_score  # noqa: PLC0415 - a ClientApp starts without it

    return float(silhouette_score(points, labels))
