"""What rounds have found of the clusters, kept for the rounds to come."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from huscf_flwr.federation import FeatureSpace, KnownClusters, RoundResult
from huscf_flwr.methods.contract import State
from huscf_flwr.methods.named_tensors import below_prefix
from huscf_flwr.models import BlockKey

_PLACE, _SPACE, _EVIDENCE = "place of cluster-", "space/", "evidence"


class ClusterMemory:
    """How sure each client's cluster is, and where the clusters were seen last.

    A round that finds several groups tells its clients apart. One that finds a single group does not: it has
    put its clients somewhere, for want of anything better.

    Attributes:
        in_a_row: by client id, how many of the rounds that told it apart, without a break until the last of
            them, have found it in the cluster that it is in.
        places: where each cluster was when it was told apart last; see ``KnownClusters``. Nobody needs them
            where all clients are in each round: they are kept from the first round on that some are absent
            from. Once bodies have parted, they are those of the clusters that have bodies.
        space: once bodies have parted, how newcomers are compared with the places.
        evidence: features [K, F] of all clients, from the rounds that told all of them apart, side by side;
            None before the first one, and once bodies have parted. In units of the spread within clients,
            squared distances add up over rounds as the logarithms of likelihoods do: what a client's images
            look like does not change, and the middle sees now more of it and now less.
    """

    def __init__(self, clients: Collection[int]) -> None:
        """Remember nothing yet of these clients."""
        self._clients = frozenset(clients)
        self.in_a_row: dict[int, int] = {}
        self.places: dict[int, Tensor] = {}
        self.space = FeatureSpace()
        self.evidence: Tensor | None = None

    @property
    def told_apart(self) -> frozenset[int]:
        """Clients that a round has found in the cluster that they are in, apart from another one."""
        return self._found(1)

    @property
    def sure(self) -> frozenset[int]:
        """Clients that two rounds in a row, of those that told them apart, have found in their cluster."""
        return self._found(2)

    @property
    def everybody_is_sure(self) -> bool:
        """Whether all clients are."""
        return self.sure == self._clients

    def known(self, present: Collection[int]) -> KnownClusters | None:
        """Return what a round of ``present`` clients has to know; None if all are there."""
        if self._clients <= set(present):
            return None
        return KnownClusters(self.told_apart, self.places)

    def take(self, before: Mapping[int, int], result: RoundResult[BlockKey]) -> None:
        """Take in a round's result; ``before`` are the clusters as they were until then."""
        for client, cluster in result.clusters.items():
            rounds = self.in_a_row.get(client, 0) if before.get(client) == cluster else 0
            self.in_a_row[client] = rounds + 1 if client in result.told_apart else rounds
        if self.places or not self._clients <= result.clusters.keys():
            self.places = result.places
        if result.told_apart and result.features is not None:
            self.evidence = result.features

    def may_soon_agree(self, clusters: Mapping[int, int]) -> bool:
        """Return whether the next round may agree with those before; ``clusters`` are those of clients."""
        told_apart = self.told_apart
        several = len({clusters[client] for client in told_apart}) > 1
        return several and 2 * len(told_apart) > len(self._clients)

    def agree(self, before: Mapping[int, int], now: Mapping[int, int], result: RoundResult[BlockKey]) -> bool:
        """Return whether rounds agree on the clusters, after one that was taken in.

        More than half of all clients are sure, some of them in each of several clusters, and the last round
        has found each of these clusters and moved nobody. Where all clients are in each round, that is: two
        rounds in a row have found the same clusters.
        """
        sure, found = self.sure, {now[client] for client in result.told_apart}
        clusters = {now[client] for client in self.told_apart}
        moved = any(now[client] != cluster for client, cluster in before.items())
        agreed = len(clusters) > 1 and found == clusters == {now[client] for client in sure}
        return agreed and not moved and 2 * len(sure) > len(self._clients)

    def settle(self, clusters: Collection[int], places: Mapping[int, Tensor], space: FeatureSpace) -> None:
        """Take note that ``clusters`` have bodies of their own now; the last round found their ``places``.

        Whoever is assigned later goes to one of them, and is compared in the ``space`` of that round.
        """
        self.places = {name: places[name] for name in sorted(clusters)}
        self.space = space
        self.evidence = None

    def forget_places(self) -> None:
        """Forget where the clusters are: there is nobody left to find a cluster for."""
        self.places, self.space = {}, FeatureSpace()

    def nearest(self, means: Mapping[int, Tensor]) -> dict[int, int]:
        """Return the cluster whose place is nearest to the ``comparable_means`` [R] of each client."""
        names = sorted(self.places)
        places = self.space.features(torch.stack([self.places[name] for name in names]))
        return {
            client: names[int((self.space.features(mean[None]) - places).norm(dim=1).argmin())]
            for client, mean in sorted(means.items())
        }

    def state(self) -> State:
        """Return what a checkpoint must hold."""
        tensors = {f"{_PLACE}{name}": place for name, place in self.places.items()}
        for name, tensor in vars(self.space).items():
            if tensor is not None:
                tensors[f"{_SPACE}{name}"] = tensor
        if self.evidence is not None:
            tensors[_EVIDENCE] = self.evidence
        return State({"in_a_row": {str(client): rounds for client, rounds in self.in_a_row.items()}}, tensors)

    def load(self, state: State) -> None:
        """Go on from ``state``, which may hold more than ``state`` returned."""
        self.in_a_row = {int(client): rounds for client, rounds in state.facts["in_a_row"].items()}
        self.places = {int(name): place for name, place in below_prefix(_PLACE, state.tensors).items()}
        self.space = FeatureSpace(**below_prefix(_SPACE, state.tensors))
        self.evidence = state.tensors.get(_EVIDENCE)

    def _found(self, rounds: int) -> frozenset[int]:
        return frozenset(client for client, in_a_row in self.in_a_row.items() if in_a_row >= rounds)
