"""Finding clusters in rounds that see only some of the clients.

A round in which one client of a domain meets three of another has two domains and cannot tell: one client is
no group. What earlier rounds have found is therefore brought along. A known cluster takes part in the
clustering as one more point, its *stand-in*, at the place where a round has found it last. The only client of
a cluster that is there has company then, and a group of newcomers gets the name of the cluster that it is.

Places move while the body trains. Batch normalisation takes out most of what is common to all of them; what
is left of that is estimated from the clients whose cluster is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.extras import extra
from huscf_flwr.federation.clustering import Clusterer, Clustering, RecallingClusterer, match_clusters
from huscf_flwr.federation.features import FeatureSpace


@dataclass(frozen=True, eq=False)
class KnownClusters:
    """What earlier rounds found.

    Attributes:
        told_apart: clients that a round has found in their cluster, apart from another one. Others are where
            they are for want of anything better, and have no say in what a cluster is called.
        places: by cluster, the mean [R] of the ``comparable_means`` of those of its clients that were there
            when it was told apart last.
    """

    told_apart: Collection[int]
    places: Mapping[int, Tensor]


@dataclass(frozen=True, eq=False)
class FoundClusters:
    """What a round found.

    Attributes:
        clusters: of the clients that were there, by client id.
        silhouette: of the partition; see ``Clustering``.
        told_apart: clients that it found in their cluster, apart from another one.
        places: as in ``KnownClusters``, for the rounds to come.
        features: of all clients, [K, F], by which a round that saw every one of them was clustered.
    """

    clusters: dict[int, int]
    silhouette: float | None
    told_apart: frozenset[int]
    places: dict[int, Tensor]
    features: Tensor | None = None


def found_among_all(
    means: Mapping[int, Tensor], features: Tensor, clustering: Clustering, previous: Mapping[int, int]
) -> FoundClusters:
    """Return the clusters of a round that saw every client there is.

    Args:
        means: ``comparable_means`` [R] by client id.
        features: [K, F], by which the clients were clustered, in the order of their ids.
        clustering: of the clients, in the order of their ids.
        previous: the clusters of the round before, by client id.
    """
    clients = sorted(means)
    clusters = match_clusters(previous, dict(zip(clients, clustering.labels, strict=True)))
    told_apart = frozenset(clients if len(set(clustering.labels)) > 1 else ())
    places = _means_of({client: clusters[client] for client in told_apart}, means)
    return FoundClusters(clusters, clustering.silhouette, told_apart, places, features)


def find_among_some(
    means: Mapping[int, Tensor],
    space: FeatureSpace,
    previous: Mapping[int, int],
    known: KnownClusters,
    clusterer: Clusterer,
    *,
    seed: int,
    smallest: int = 1,
) -> FoundClusters:
    """Find the clusters of a round that saw only some of the clients.

    Groups get the names of the known clusters with most clients and stand-ins in them (``match_clusters``).
    A client that was told apart before leaves its cluster only if at least two such clients of it are there,
    or all of them: one alone may be among strangers because nobody else of its cluster came.

    Args:
        means: ``comparable_means`` [R] by client id.
        space: turns them into features.
        previous: cluster by client id, of all that have one.
        known: what else the rounds before say.
        clusterer: partitions clients and stand-ins.
        seed: of its random choices.
        smallest: least number of clients in a cluster, absent ones included. Who is in a smaller one joins
            the nearest that is large enough and that somebody else here is in; if there is none, all who are
            here join the largest.
    """
    clients = sorted(means)
    own = {client: previous[client] for client in known.told_apart}
    there = {client: own[client] for client in clients if client in own}
    here = torch.stack([means[client] for client in clients])
    shift = (
        _shift_of_members(means, there, known.places)
        if there
        else _shift_of_newcomers(here, known.places, space, clusterer, seed)
    )
    places = {name: place + shift for name, place in sorted(known.places.items())}
    company = _in_company(here, places, space)
    free = 1 + max([*clients, *previous])
    stand_ins = {free + number: name for number, name in enumerate(company)}
    features = space.features(here)
    if company:
        standing = space.features(torch.stack([places[name] for name in company]))
        elsewhere = len(places) - len(company)
        clustering = _recalled(features, standing, clusterer, elsewhere=elsewhere, seed=seed)
    else:
        clustering = clusterer(features, seed=seed)
    labels = dict(zip([*clients, *stand_ins], clustering.labels, strict=True))
    absent = {client: name for client, name in previous.items() if own and client not in means}
    named = match_clusters({**absent, **there, **stand_ins}, labels)
    staying = _staying(own, there, named)
    clusters = {client: there[client] if client in staying else named[client] for client in clients}
    split = len(set(clustering.labels[: len(clients)])) > 1
    sizes = Counter([*clusters.values(), *(previous[client] for client in previous.keys() - means.keys())])
    if any(sizes[name] < smallest for name in clusters.values()):
        clusters = _without_small(clusters, sizes, smallest, dict(zip(clients, features, strict=True)))
        split, staying = (
            len(set(clusters.values())) > 1,
            frozenset(k for k in staying if clusters[k] == there[k]),
        )
    told_apart = frozenset(clients if split else ()) - staying
    left = {*clusters.values(), *absent.values()}
    found = _means_of({client: clusters[client] for client in told_apart}, means)
    return FoundClusters(
        clusters,
        clustering.silhouette,
        told_apart,
        {name: place for name, place in sorted({**known.places, **found}.items()) if name in left},
    )


def _without_small(
    clusters: Mapping[int, int], sizes: Mapping[int, int], smallest: int, features: Mapping[int, Tensor]
) -> dict[int, int]:
    """Return the clusters of clients with ``features`` [F], without those of a size below ``smallest``."""
    large = {client: name for client, name in clusters.items() if sizes[name] >= smallest}
    if not large:
        largest = min(clusters.values(), key=lambda name: (-sizes[name], name))
        return dict.fromkeys(clusters, largest)
    centres = _means_of(large, features)
    names, points = list(centres), torch.stack([*centres.values()])
    return {
        client: large[client]
        if client in large
        else names[int((points - features[client]).norm(dim=1).argmin())]
        for client in clusters
    }


def _staying(own: Mapping[int, int], there: Mapping[int, int], named: Mapping[int, int]) -> frozenset[int]:
    """Return who stays in its ``own`` cluster, of the clients that are ``there``, whatever was found."""
    all_of, some_of = Counter(own.values()), Counter(there.values())
    return frozenset(
        client
        for client, name in there.items()
        if named[client] != name and some_of[name] < min(2, all_of[name])
    )


def _in_company(here: Tensor, places: Mapping[int, Tensor], space: FeatureSpace) -> list[int]:
    """Return the clusters to whose place a client is nearest: the others would stand in for nobody.

    To a clusterer their stand-ins would be outliers, and the more there are, the less clear are its groups.
    """
    if not places:
        return []
    names, points = list(places), torch.stack([*places.values()])
    nearest = torch.cdist(space.features(here), space.features(points)).argmin(1)
    return [names[place] for place in sorted(set(nearest.tolist()))]


def _recalled(
    features: Tensor, places: Tensor, clusterer: Clusterer, *, elsewhere: int, seed: int
) -> Clustering:
    """Return the labels of clients and then of places; see ``RecallingClusterer.recall``.

    What any other clusterer has found is not changed by the places: each is put to the nearest group, if that
    is nearer than the group is to its nearest neighbour.
    """
    if isinstance(clusterer, RecallingClusterer):
        return clusterer.recall(features, places, elsewhere=elsewhere, seed=seed)
    found = clusterer(features, seed=seed)
    centres = torch.stack([*_means_of(dict(enumerate(found.labels)), dict(enumerate(features))).values()])
    distance, group = torch.cdist(places, centres).min(1)
    fits = distance < _apart(centres)[group]
    alone = len(centres) + torch.arange(len(places))
    return Clustering((*found.labels, *torch.where(fits, group.cpu(), alone).tolist()), found.silhouette)


def _apart(centres: Tensor) -> Tensor:
    """Return the distance of each of [C, F] to its nearest neighbour, infinite if there is only one."""
    return torch.cdist(centres, centres).fill_diagonal_(torch.inf).amin(1)


def _shift_of_members(
    means: Mapping[int, Tensor], there: Mapping[int, int], places: Mapping[int, Tensor]
) -> Tensor:
    """Return how far all places have moved [R], as the clients show that are ``there`` and known.

    It is the mean over their clusters and one more that has not moved: clusters move each their own way too,
    and what a single one does says only half of what all of them have in common.
    """
    now = _means_of(there, means)
    moves = [now[name] - places[name] for name in sorted(now.keys() & places.keys())]
    return torch.stack([*moves, torch.zeros_like(next(iter(means.values())))]).mean(0)


def _shift_of_newcomers(
    here: Tensor, places: Mapping[int, Tensor], space: FeatureSpace, clusterer: Clusterer, seed: int
) -> Tensor:
    """Return how far all places have moved [R], as a round of nobody but newcomers shows, ``here`` [K, R].

    If they form as many groups as clusters are known, and these lie to each other as the places do, then they
    are taken for the same clusters. Otherwise nothing is known of a move, and it is zero.
    """
    with extra("server", "clustering"):
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - a ClientApp starts without it

    unmoved = torch.zeros_like(here[0])
    if len(places) < 2:
        return unmoved
    groups = clusterer(space.features(here), seed=seed).labels
    if len(set(groups)) != len(places):
        return unmoved
    before = torch.stack([*places.values()])
    now = torch.stack([*_means_of(dict(enumerate(groups)), dict(enumerate(here))).values()])
    shift = now.mean(0) - before.mean(0)
    distances = torch.cdist(space.features(now), space.features(before + shift))
    group, place = linear_sum_assignment(distances.square().numpy())
    fits = distances[group, place] < _apart(space.features(now))[group]
    return shift if bool(fits.all()) else unmoved


def _means_of(clusters: Mapping[int, int], means: Mapping[int, Tensor]) -> dict[int, Tensor]:
    members: dict[int, list[Tensor]] = {}
    for client, name in sorted(clusters.items()):
        members.setdefault(name, []).append(means[client])
    return {name: torch.stack(own).mean(0) for name, own in sorted(members.items())}
