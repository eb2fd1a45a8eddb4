"""After a round: cluster the clients, weigh them, and average their models.

``ClusteredAveraging`` holds three replaceable parts (a clusterer, a divergence, a weighting) and the settings
of the aggregation. It keeps no state: the caller passes in the clusters of the round before.

Here the modes ``corrected`` and ``parity`` differ in these attributes alone. Each attribute's description
says what the authors' code does and where, so that the effect of every repair can be measured on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

from huscf_flwr.federation.aggregation import Aggregate, Buffers, Key, State, aggregate
from huscf_flwr.federation.clustering import Clusterer, Clustering, join_small_clusters, match_clusters
from huscf_flwr.federation.divergence import Divergence, label_divergences
from huscf_flwr.federation.features import (
    ActivationStatistics,
    Scaling,
    comparable_means,
    feature_space,
)
from huscf_flwr.federation.known_clusters import (
    FoundClusters,
    KnownClusters,
    find_among_some,
    found_among_all,
)
from huscf_flwr.federation.weighting import SampleWeighting, Weighting

Evidence = Literal["round", "rounds"]
"""Which activations a round is clustered by."""

ROUNDS_OF_EVIDENCE = 8
"""As many rounds are kept in mind, so that nothing grows with the rounds of a run."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class RoundResult(Generic[Key]):
    """Everything that is decided at the end of a round; by client id unless said otherwise.

    Attributes:
        clusters: each client's cluster. A cluster keeps its name from round to round.
        silhouette: of the clusters; ``None`` if it is undefined or the clients were not clustered.
        told_apart: clients that the round found in their cluster, apart from another one.
        places: by cluster, where it was told apart last; see ``FoundClusters``.
        features: by which all clients were clustered, [K, F]; ``None`` if some were absent.
        cluster_weights: each client's weight in the average of the clients' blocks. They sum to one in
            every cluster; in a plain round, over all clients.
        global_weights: each client's weight in the average of its bodies. They sum to one over the clients
            that share those bodies.
        divergences: each client's divergence from the others in its cluster.
        global_divergences: each client's divergence from all others that share its bodies.
        cluster_blocks: by cluster, the average of each block that a client keeps. In a plain round every
            cluster has the same average over all clients.
        bodies: the averaged bodies, under the names that the caller gave them.
    """

    clusters: dict[int, int]
    silhouette: float | None
    told_apart: frozenset[int]
    places: dict[int, Tensor]
    features: Tensor | None
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
            number of domains (train.py:73); the corrected mode finds the number itself.
        divergence: how far a client is from its peers. The authors' softmax over positions, averaged over
            channels, is so small (0.01 to 0.05) that it changes no weight by more than one per cent
            (HuSCFGAN.py:200-214); the corrected mode compares the distributions of the
            activations themselves.
        weighting: turns sample counts and divergences into weights (HuSCFGAN.py:219-348).
        buffers: how BatchNorm's running statistics are averaged. The authors average them like weights
            (HuSCFGAN.py:229-328); the corrected mode adds the variance between the clients' means.
        plain_rounds: number of rounds at the start in which all clients are averaged as one cluster, by
            their sample counts alone. The authors have two (``round <= 1`` from zero, train.py:157),
            because their clients start from different weights. With a common initialisation the
            activations of the first round can be compared already, and no plain round is needed.
        clusters_in_plain_rounds: whether clusters are also found, and reported, in plain rounds.
            The authors put all clients in cluster 0 (train.py:157).
        feature_scaling: how activations are scaled before clustering. The authors do not scale
            (HuSCFGAN.py:129-182); the corrected mode scales by the spread within clients, which
            doubles the distance between domains relative to that between clients with skewed labels.
        evidence: what a round is clustered by in which all clients are there: ``round``, its own activations
            alone, as the authors do; or ``rounds``, those of up to seven earlier rounds too that told
            clients apart.
        smallest: least number of clients whose blocks are averaged. Smaller clusters join the nearest one. A
            cluster of which fewer are in a round has no average in it, and a round of fewer has none at all.
    """

    clusterer: Clusterer
    divergence: Divergence
    weighting: Weighting
    buffers: Buffers
    plain_rounds: int
    clusters_in_plain_rounds: bool
    feature_scaling: Scaling
    evidence: Evidence = "rounds"
    smallest: int = 1

    def __post_init__(self) -> None:
        if self.smallest < 1:
            raise ValueError(f"smallest is {self.smallest}: give at least one client")
        if self.plain_rounds < 0:
            raise ValueError(f"plain_rounds is {self.plain_rounds}: give zero or more")

    def after_round(
        self,
        round_number: int,
        *,
        statistics: Mapping[int, ActivationStatistics] | None,
        samples: Mapping[int, int],
        previous_clusters: Mapping[int, int],
        client_blocks: Mapping[int, Mapping[Key, State]],
        bodies: Mapping[int, Mapping[Key, State]],
        seed: int,
        known: KnownClusters | None = None,
        earlier: Tensor | None = None,
        label_counts: Mapping[int, Tensor] | None = None,
        shared: Collection[Key] = (),
    ) -> RoundResult[Key]:
        """Cluster, weigh and average; the inputs are not changed.

        Args:
            round_number: counted from one.
            statistics: of each client's activations in the discriminator's middle block, on real
                batches. ``None`` if clients do not tell them: then all are one cluster, and do not diverge.
            samples: each client's number of training samples.
            previous_clusters: cluster of every client that has one; empty in the first round.
            client_blocks: state of the blocks that each client keeps.
            bodies: state of the blocks that the server runs for all clients: one entry, under any name.
            seed: of this round's clustering.
            known: what earlier rounds found, for a round that some clients are absent from; ``None`` if all
                are there.
            earlier: ``features`` of the last round that told all clients apart, for ``evidence`` of rounds.
            label_counts: by client id, images of each label, [C]. If they are given, divergences are between
                them, and not between activations; clients that are not of the round are left aside.
            shared: blocks that clients keep and that are averaged over all of them; see ``aggregate``.

        Raises:
            ValueError: the mappings have different clients, ``bodies`` has more or less than one entry, or
                one of the parts raises it.
        """
        clients = _common_clients(client_blocks if statistics is None else statistics, samples, client_blocks)
        if len(bodies) != 1:
            raise ValueError(f"all clients share one body, but bodies {sorted(bodies)} were given")
        ((body_name, body),) = bodies.items()
        if len(clients) < self.smallest:
            return _unaveraged(clients, previous_clusters, known, bodies)
        plain = round_number <= self.plain_rounds
        found = self._clusters(clients, statistics, plain, previous_clusters, known, earlier, seed)
        clusters = found.clusters
        divergences = self._divergences(clusters, statistics, label_counts)
        global_divergences = self._divergences(dict.fromkeys(clients, 0), statistics, label_counts)
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
            shared=shared,
        )
        if plain:
            result = _for_every_cluster(result, clusters)
        enough = _in_groups_of(self.smallest, averaged_together)
        averaged = {clusters[client] for client in enough}
        return RoundResult(
            clusters=clusters,
            silhouette=found.silhouette,
            told_apart=found.told_apart,
            places=found.places,
            features=found.features,
            cluster_weights={k: weight if k in enough else 0.0 for k, weight in cluster_weights.items()},
            global_weights=global_weights,
            divergences=divergences,
            global_divergences=global_divergences,
            cluster_blocks={name: own for name, own in result.clusters.items() if name in averaged},
            bodies={body_name: result.body},
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
        label_counts: Mapping[int, Tensor] | None = None,
    ) -> RoundResult[Key]:
        """Weigh and average when each cluster has its own body: each cluster is a federation of its own.

        Clusters stay as they are, since activations of different bodies cannot be compared. The arguments are
        those of ``after_round``; ``bodies`` has one entry for each cluster.
        """
        within_cluster = replace(self, clusterer=_one_cluster)
        results = [
            within_cluster.after_round(
                round_number,
                statistics={client: statistics[client] for client in members},
                samples={client: samples[client] for client in members},
                previous_clusters=dict.fromkeys(members, cluster),
                client_blocks={client: client_blocks[client] for client in members},
                bodies={cluster: bodies[cluster]},
                seed=0,
                label_counts=label_counts,
            )
            for cluster, members in _members({k: clusters[k] for k in client_blocks}).items()
        ]
        return _combined(results)

    def common_blocks(
        self,
        client_blocks: Mapping[int, Mapping[Key, State]],
        body: Mapping[Key, State],
        global_weights: Mapping[int, float],
    ) -> dict[Key, dict[str, Tensor]]:
        """Return the average, over all clients of a round, of each block that a client keeps.

        It is what a client can begin with whose cluster nobody knows. The arguments are those of
        ``aggregate``, from before the round was averaged.
        """
        together = dict.fromkeys(client_blocks, 0)
        result = aggregate(
            client_blocks, body, together, global_weights, global_weights, buffers=self.buffers
        )
        return result.clusters[0]

    def _clusters(
        self,
        clients: list[int],
        statistics: Mapping[int, ActivationStatistics] | None,
        plain: bool,
        previous: Mapping[int, int],
        known: KnownClusters | None,
        earlier: Tensor | None,
        seed: int,
    ) -> FoundClusters:
        if statistics is None or (plain and not self.clusters_in_plain_rounds):
            return FoundClusters(match_clusters(previous, dict.fromkeys(clients, 0)), None, frozenset(), {})
        seen = [statistics[client] for client in clients]
        rows = comparable_means(seen, self.feature_scaling)
        means = dict(zip(clients, rows, strict=True))
        space = feature_space(seen, self.feature_scaling)
        if known is None:
            features = space.features(rows)
            if earlier is not None and self.evidence == "rounds":
                kept = earlier[:, -(ROUNDS_OF_EVIDENCE - 1) * features.shape[1] :]
                features = torch.cat([kept.to(features), features], 1)
            clustering = join_small_clusters(self.clusterer(features, seed=seed), features, self.smallest)
            return found_among_all(means, features, clustering, previous)
        return find_among_some(
            means, space, previous, known, self.clusterer, seed=seed, smallest=self.smallest
        )

    def _divergences(
        self,
        groups: Mapping[int, int],
        statistics: Mapping[int, ActivationStatistics] | None,
        label_counts: Mapping[int, Tensor] | None,
    ) -> dict[int, float]:
        divergences: dict[int, float] = {}
        for members in _members(groups).values():
            values = torch.zeros(len(members))
            if label_counts is not None:
                values = label_divergences(torch.stack([label_counts[client] for client in members]))
            elif statistics is not None:
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


def _in_groups_of(least: int, groups: Mapping[int, int]) -> set[int]:
    """Return who is in a group of at least so many."""
    return {client for own in _members(groups).values() if len(own) >= least for client in own}


def _unaveraged(
    clients: Iterable[int],
    previous: Mapping[int, int],
    known: KnownClusters | None,
    bodies: Mapping[int, Mapping[Key, State]],
) -> RoundResult[Key]:
    """Return the result of a round that was too small for any average: all stays as it was before."""
    clusters = {client: previous[client] for client in clients if client in previous}
    nothing = dict.fromkeys(clusters, 0.0)
    return RoundResult(
        clusters=clusters,
        silhouette=None,
        told_apart=frozenset(),
        places={} if known is None else dict(known.places),
        features=None,
        cluster_weights=nothing,
        global_weights=nothing,
        divergences=nothing,
        global_divergences=nothing,
        cluster_blocks={},
        bodies={name: {key: dict(state) for key, state in body.items()} for name, body in bodies.items()},
    )


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


def _combined(results: Sequence[RoundResult[Key]]) -> RoundResult[Key]:
    """Return the results of separate clusters as one."""
    return RoundResult(
        clusters=_merged(result.clusters for result in results),
        silhouette=None,
        told_apart=frozenset(),
        places={},
        features=None,
        cluster_weights=_merged(result.cluster_weights for result in results),
        global_weights=_merged(result.global_weights for result in results),
        divergences=_merged(result.divergences for result in results),
        global_divergences=_merged(result.global_divergences for result in results),
        cluster_blocks=_merged(result.cluster_blocks for result in results),
        bodies=_merged(result.bodies for result in results),
    )


def _merged(parts: Iterable[Mapping[int, Value]]) -> dict[int, Value]:
    return {key: value for part in parts for key, value in part.items()}


def _for_every_cluster(result: Aggregate[Key], clusters: Mapping[int, int]) -> Aggregate[Key]:
    """Give every cluster the blocks that were averaged over all clients."""
    (blocks,) = result.clusters.values()
    return Aggregate(dict.fromkeys(sorted(set(clusters.values())), blocks), result.body)
