"""What happens after a round: cluster the clients, weigh them, average their models.

``ClusteredAveraging`` binds the parts of the method that can be exchanged (a clusterer, a
divergence, a weighting) and its settings. It has no state: what it needs of the round before, the
clusters' names, is given to it.

Of what happens here, the modes ``corrected`` and ``parity`` differ in these only. Each says what the
authors' code does and where, so that the effect of one repair can be measured alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from huscf_flwr.federation.aggregation import Aggregate, Buffers, Key, State, aggregate
from huscf_flwr.federation.clustering import Clusterer, Clustering, match_clusters
from huscf_flwr.federation.divergence import Divergence
from huscf_flwr.federation.features import ActivationStatistics, Scaling, clustering_features
from huscf_flwr.federation.weighting import SampleWeighting, Weighting

Value = TypeVar("Value")

ALL = 0
"""Name of the group of all clients."""


@dataclass(frozen=True)
class RoundResult(Generic[Key]):
    """Everything that is decided at the end of a round; mappings are by client id.

    Attributes:
        clusters: each client's cluster, with names that are stable between rounds.
        silhouette: of the clusters; ``None`` where it is not defined or no clustering was done.
        cluster_weights: weight of each client in the average of the clients' blocks. One in sum
            over each cluster; in a plain round, one in sum over all clients.
        global_weights: weight of each client in the average of the bodies; one in sum over the clients
            that share them.
        divergences: of each client from the others of its cluster.
        global_divergences: of each client from all others.
        cluster_blocks: of every cluster of ``clusters``, the average of each block that a client keeps;
            in a plain round, all of them have the same average over all clients.
        bodies: the averaged bodies, by the name of the group of clients that shares them: ``ALL``, or,
            once they have parted, each cluster.
    """

    clusters: dict[int, int]
    silhouette: float | None
    cluster_weights: dict[int, float]
    global_weights: dict[int, float]
    divergences: dict[int, float]
    global_divergences: dict[int, float]
    cluster_blocks: dict[int, dict[Key, dict[str, Tensor]]]
    bodies: dict[int, dict[Key, dict[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class ClusteredAveraging:
    """Clustered averaging with divergence weights: the aggregation of HuSCF-GAN.

    Attributes:
        clusterer: partitions the clients by their activations. The authors give k-means the true
            number of domains (train.py:73); the corrected mode finds the number.
        divergence: of a client from its peers. The authors' softmax over positions, averaged over
            channels, is so small (0.01 to 0.05) that it moves no weight by one per cent
            (HuSCFGAN.py:200-214); the corrected mode compares the distributions of the
            activations themselves.
        weighting: weights from sample counts and divergences (HuSCFGAN.py:219-348).
        buffers: BatchNorm's running statistics. The authors average them like weights
            (HuSCFGAN.py:229-328); the corrected mode adds the variance between the clients' means.
        plain_rounds: the first rounds in which all clients are averaged as one cluster, by their
            sample counts alone. The authors have two (``round <= 1`` from zero, train.py:157),
            needed because their clients start from different weights. From a common initialisation
            the activations of the first round are comparable, and none is needed.
        clusters_in_plain_rounds: whether clusters are found, and reported, in the plain rounds too.
            The authors put all clients in cluster 0 (train.py:157).
        feature_scaling: of the activations before they are clustered. The authors do not scale
            (HuSCFGAN.py:129-182); the corrected mode scales by the spread within clients, which
            doubles the distance of domains relative to that of clients with skewed labels.
    """

    clusterer: Clusterer
    divergence: Divergence
    weighting: Weighting
    buffers: Buffers
    plain_rounds: int
    clusters_in_plain_rounds: bool
    feature_scaling: Scaling

    def __post_init__(self) -> None:
        if self.plain_rounds < 0:
            raise ValueError(f"plain_rounds is {self.plain_rounds}: give zero or more")

    def after_round(
        self,
        round_number: int,
        *,
        statistics: Mapping[int, ActivationStatistics],
        samples: Mapping[int, int],
        previous_clusters: Mapping[int, int],
        client_blocks: Mapping[int, Mapping[Key, State]],
        body: Mapping[Key, State],
        seed: int,
    ) -> RoundResult[Key]:
        """Cluster, weigh and average; the inputs are not changed.

        Args:
            round_number: from one.
            statistics: of each client's activations in the discriminator's middle block, on real
                batches.
            samples: number of training samples of each client.
            previous_clusters: ``clusters`` of the round before, empty in the first.
            client_blocks: state of the blocks that each client keeps.
            body: state of the blocks that the server runs.
            seed: of this round's clustering.

        Raises:
            ValueError: the mappings are not about the same clients, or as the parts raise it.
        """
        clients = _common_clients(statistics, samples, client_blocks)
        plain = round_number <= self.plain_rounds
        clustering = self._cluster(clients, statistics, plain, seed)
        labels = dict(zip(clients, clustering.labels, strict=True))
        clusters = match_clusters(previous_clusters, labels)
        divergences = self._divergences(clusters, statistics)
        global_divergences = self._divergences(dict.fromkeys(clients, 0), statistics)
        averaged_together = dict.fromkeys(clients, 0) if plain else clusters
        weighting: Weighting = SampleWeighting() if plain else self.weighting
        cluster_weights = _weights(weighting, averaged_together, samples, divergences)
        global_weights = _weights(weighting, dict.fromkeys(clients, 0), samples, global_divergences)
        result = aggregate(
            client_blocks,
            body,
            averaged_together,
            cluster_weights,
            global_weights,
            buffers=self.buffers,
        )
        if plain:
            result = _for_every_cluster(result, clusters)
        return RoundResult(
            clusters=clusters,
            silhouette=clustering.silhouette,
            cluster_weights=cluster_weights,
            global_weights=global_weights,
            divergences=divergences,
            global_divergences=global_divergences,
            cluster_blocks=result.clusters,
            bodies={ALL: result.body},
        )

    def after_round_apart(
        self,
        round_number: int,
        *,
        statistics: Mapping[int, ActivationStatistics],
        samples: Mapping[int, int],
        clusters: Mapping[int, int],
        client_blocks: Mapping[int, Mapping[Key, State]],
        bodies: Mapping[int, Mapping[Key, State]],
    ) -> RoundResult[Key]:
        """Weigh and average where each cluster has a body of its own: each is a federation for itself.

        Its clients stay together: what one body makes of a client's images cannot be compared with what
        another makes of another's. Arguments are those of ``after_round``; ``bodies`` are by cluster.
        """
        alone = replace(self, clusterer=_one_cluster)
        results = [
            alone.after_round(
                round_number,
                statistics={client: statistics[client] for client in members},
                samples={client: samples[client] for client in members},
                previous_clusters=dict.fromkeys(members, cluster),
                client_blocks={client: client_blocks[client] for client in members},
                body=bodies[cluster],
                seed=0,
            )
            for cluster, members in _members({k: clusters[k] for k in client_blocks}).items()
        ]
        return _side_by_side(results)

    def _cluster(
        self,
        clients: list[int],
        statistics: Mapping[int, ActivationStatistics],
        plain: bool,
        seed: int,
    ) -> Clustering:
        if plain and not self.clusters_in_plain_rounds:
            return Clustering((0,) * len(clients), None)
        features = clustering_features([statistics[client] for client in clients], self.feature_scaling)
        return self.clusterer(features, seed=seed)

    def _divergences(
        self, groups: Mapping[int, int], statistics: Mapping[int, ActivationStatistics]
    ) -> dict[int, float]:
        divergences: dict[int, float] = {}
        for members in _members(groups).values():
            values = self.divergence([statistics[client] for client in members])
            divergences.update(zip(members, values.tolist(), strict=True))
        return divergences


def _common_clients(*mappings: Mapping[int, object]) -> list[int]:
    clients = sorted(mappings[0])
    for mapping in mappings[1:]:
        if sorted(mapping) != clients:
            raise ValueError(
                f"activations are from clients {clients}, but samples or blocks from {sorted(mapping)}"
            )
    return clients


def _members(groups: Mapping[int, int]) -> dict[int, list[int]]:
    members: dict[int, list[int]] = {}
    for client in sorted(groups):
        members.setdefault(groups[client], []).append(client)
    return members


def _weights(
    weighting: Weighting,
    groups: Mapping[int, int],
    samples: Mapping[int, int],
    divergences: Mapping[int, float],
) -> dict[int, float]:
    weights: dict[int, float] = {}
    for members in _members(groups).values():
        values = weighting(
            torch.tensor([samples[client] for client in members], dtype=torch.float64),
            torch.tensor([divergences[client] for client in members], dtype=torch.float64),
        )
        weights.update(zip(members, values.tolist(), strict=True))
    return weights


def _one_cluster(features: Tensor, *, seed: int) -> Clustering:  # noqa: ARG001 - nothing is drawn
    return Clustering((0,) * len(features), None)


def _side_by_side(results: Sequence[RoundResult[Key]]) -> RoundResult[Key]:
    """Return the results of clusters that know nothing of each other as one."""
    return RoundResult(
        clusters=_union(result.clusters for result in results),
        silhouette=None,
        cluster_weights=_union(result.cluster_weights for result in results),
        global_weights=_union(result.global_weights for result in results),
        divergences=_union(result.divergences for result in results),
        global_divergences=_union(result.global_divergences for result in results),
        cluster_blocks=_union(result.cluster_blocks for result in results),
        bodies={
            cluster: result.bodies[ALL] for result in results for cluster in set(result.clusters.values())
        },
    )


def _union(parts: Iterable[Mapping[int, Value]]) -> dict[int, Value]:
    return {key: value for part in parts for key, value in part.items()}


def _for_every_cluster(result: Aggregate[Key], clusters: Mapping[int, int]) -> Aggregate[Key]:
    """Give every cluster the blocks of the only one that was averaged."""
    (blocks,) = result.clusters.values()
    return Aggregate(dict.fromkeys(sorted(set(clusters.values())), blocks), result.body)
