"""HFL-GAN's server: averages at the edge after each round, and in the cloud after some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Placement, Price, Turn, priced
from huscf_flwr.cuts.placement import network_gflop, networks_sent, pass_gflop
from huscf_flwr.federation import aggregate, match_clusters
from huscf_flwr.methods.batches import largest_epoch
from huscf_flwr.methods.contract import (
    Collected,
    Description,
    Form,
    Method,
    Order,
    Orders,
    Outcome,
    Product,
    State,
    Tensors,
    form_of,
)
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.hflgan.client import HFLGANClient
from huscf_flwr.methods.hflgan.clustering import change, clusters_of, cosines, joined
from huscf_flwr.methods.hflgan.crossing import CROSSING, GLOBAL_GENERATOR
from huscf_flwr.methods.hflgan.settings import HFLGANSettings, is_cloud_round
from huscf_flwr.methods.hflgan.weights import initial_global_generator
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import (
    BlockStates,
    Sampler,
    flatten_blocks,
    initial_states,
    model_spec_of,
    unflatten_blocks,
)
from huscf_flwr.process import dtype_of
from huscf_flwr.seeding import derive_seed

_COMMON, _GLOBAL = "common", "global"


class HFLGAN(Method):
    """A discriminator and two generators on each client (doi 10.1007/s10489-024-05924-x).

    Of the paper we know the abstract, and it has no public code: hence "HFL-GAN-style" in tables. We read it
    like this:

    - In each step a client trains its discriminator on real images against both generators, and then both.
    - After each round the discriminators and the *local* generators are averaged within each cluster,
      weighted by sample counts: the cluster is the paper's edge server. One server does it for all of them.
    - Every ``cloud_every`` rounds the *global* generators are averaged over all clients of the round,
      likewise. In between each client keeps its own.
    - Clusters are found by k-means on the directions in which a round has changed the discriminators (see
      ``clustering``), which all begin with the same weights, in rounds of more than half of the clients.
    - Running statistics are averaged like weights, and those of the generators measured before judging.
    - The moments of all three optimisers stay on the client.

    A client that is in no cluster begins with the average of all clients of the last round.
    """

    name: ClassVar = "hflgan"
    Settings: ClassVar = HFLGANSettings
    client: ClassVar = HFLGANClient
    crossing: ClassVar = CROSSING
    privacy: ClassVar = frozenset({"count_step"})

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.settings = config.settings(HFLGANSettings)
        if self.settings.clusters > len(clients):
            raise ValueError(
                f"hflgan.clusters: {self.settings.clusters} clusters for {len(clients)} clients; take fewer"
            )
        self.common: BlockStates = initial_states(
            model_spec_of(config), seed=config.seed, dtype=dtype_of(config)
        )
        self.networks: dict[int, BlockStates] = {}
        """By cluster."""
        self.cluster_of: dict[int, int] = {}
        self.global_generator: BlockStates = initial_global_generator(config).states()
        self.cloud_rounds = 0
        self.up_to_date: set[int] = set(self.clients)
        """Clients that began with the global generator as it is, or have gone on from there."""
        self._number = 1
        self._measured: dict[str, BlockStates] = {}

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:
        """Return the price of a step of two generators and a discriminator, whose passes are five.

        It learns from real images and the fakes of both, and then judges these once more, frozen.
        """
        every = config.settings(HFLGANSettings).cloud_every
        at_the_edge, in_the_cloud = networks_sent(problem), networks_sent(problem, "generator", every=every)
        of_second = (
            network_gflop(problem, "generator")
            + pass_gflop(problem, "discriminator")
            + pass_gflop(problem, "discriminator", frozen=True)
        )
        of_first = network_gflop(problem, "generator") + network_gflop(problem, "discriminator")
        once = Turn(
            down_bytes=at_the_edge.down_bytes + in_the_cloud.down_bytes,
            up_bytes=at_the_edge.up_bytes + in_the_cloud.up_bytes,
        )
        step = (Turn(client_gflop=of_first + of_second),)
        return priced(Placement(step=step, once_a_round=once), problem)

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from a cluster's generator, or from the global one."""
        return drawing_from(config, product)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return the batches of the largest client."""
        return self.config.local_epochs * largest_epoch(self.clients, clients, self.config)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return each cluster's networks, and the global generator to those who have an older one."""
        self._number = number
        groups: dict[str, dict[str, Tensors]] = {}
        told: dict[int, Order] = {}
        for client in clients:
            names = [self._group(client)]
            groups.setdefault(names[0], {NETWORKS: flatten_blocks(self._networks_of(client))})
            if client not in self.up_to_date:
                names.append(_GLOBAL)
                groups.setdefault(_GLOBAL, {GLOBAL_GENERATOR: flatten_blocks(self.global_generator)})
            told[client] = Order(groups=tuple(names))
        return Orders(clients=told, groups=groups)

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of the networks, and in a cloud round of the global generator."""
        parts = {NETWORKS: flatten_blocks(self.common)}
        if is_cloud_round(self.config, self._number):
            parts[GLOBAL_GENERATOR] = flatten_blocks(self.global_generator)
        return form_of(parts)

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Cluster if it is time to, average within clusters, and in a cloud round over all clients."""
        sent = {client: upload.tensors for client, upload in sorted(collected.uploads.items())}
        networks = {client: tensors[NETWORKS] for client, tensors in sent.items()}
        silhouette = self._cluster(number, networks)
        weights = self._average_at_the_edge(networks)
        cloud = is_cloud_round(self.config, number)
        if cloud:
            generators = {client: tensors[GLOBAL_GENERATOR] for client, tensors in sent.items()}
            (self.global_generator,) = self._averages(generators, dict.fromkeys(generators, 0)).values()
            self.cloud_rounds += 1
        self.up_to_date = set() if cloud else self.up_to_date | sent.keys()
        self._measured = {}
        facts: dict[str, Any] = {"silhouette": silhouette, "cloud": cloud}
        clients = {k: {"cluster": self.cluster_of[k], "weight": weight} for k, weight in weights.items()}
        return Outcome(facts=facts, clients=clients)

    def products(self) -> list[Product]:
        """Return each cluster's local generator, or the global one; nothing before the first average."""
        if self.settings.judged == "global":
            everybody, generator = tuple(self.clients), self.global_generator
            return [self._product(_GLOBAL, everybody, generator)] if self.cloud_rounds else []
        members: dict[int, list[int]] = {}
        for client, name in self.cluster_of.items():
            members.setdefault(name, []).append(client)
        return [
            self._product(f"cluster-{name}", tuple(members[name]), self.networks[name])
            for name in sorted(members)
        ]

    def clusters(self) -> Mapping[int, int]:
        """Return the cluster of every client that has taken part."""
        return self.cluster_of

    def state(self) -> State:
        """Return the averages, who is in which cluster, and whose global generator is up to date."""
        tensors = flatten_blocks(self.common, f"{_COMMON}/")
        tensors |= flatten_blocks(self.global_generator, f"{_GLOBAL}/")
        for name, networks in self.networks.items():
            tensors |= flatten_blocks(networks, f"cluster-{name}/")
        facts = {
            "clusters": {str(client): name for client, name in self.cluster_of.items()},
            "cloud_rounds": self.cloud_rounds,
            "up_to_date": sorted(self.up_to_date),
        }
        return State(facts, tensors)

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is of clients that are not here."""
        clusters = {int(client): name for client, name in state.facts["clusters"].items()}
        unknown = sorted(clusters.keys() - self.clients.keys())
        if unknown:
            raise ValueError(
                f"resume: the checkpoint has clusters of clients {unknown}, but the run has the clients "
                f"{list(self.clients)}; resume it with the same ones"
            )
        self.cluster_of = clusters
        self.cloud_rounds = state.facts["cloud_rounds"]
        self.up_to_date = set(state.facts["up_to_date"])
        self.common = unflatten_blocks(state.tensors, f"{_COMMON}/")
        self.global_generator = unflatten_blocks(state.tensors, f"{_GLOBAL}/")
        self.networks = {
            name: unflatten_blocks(state.tensors, f"cluster-{name}/")
            for name in sorted(set(clusters.values()))
        }
        self._measured = {}

    def _group(self, client: int) -> str:
        return f"cluster-{self.cluster_of[client]}" if client in self.cluster_of else _COMMON

    def _networks_of(self, client: int) -> BlockStates:
        return self.networks[self.cluster_of[client]] if client in self.cluster_of else self.common

    def _cluster(self, number: int, sent: Mapping[int, Tensors]) -> float | None:
        """Find clusters for the clients of a round, if it is time; others keep theirs. Return the silhouette.

        K-means always finds as many clusters as it is asked for: a round of few clients might be of one
        cluster alone. There those who are in a cluster stay, and newcomers join whom they are most like.
        """
        clients = sorted(sent)
        newcomers = [client for client in clients if client not in self.cluster_of]
        due = (number - 1) % self.settings.recluster_every == 0
        if not (newcomers or due):
            return None
        told = {client: flatten_blocks(self._networks_of(client)) for client in clients}
        alike = cosines({client: change(told[client], sent[client]) for client in clients})
        if newcomers != clients and 2 * len(clients) <= len(self.clients):
            self._put(joined(alike, clients, self.cluster_of))
            return None
        seed = derive_seed(self.config.seed, "clustering", number)
        found = clusters_of(alike, self.settings.clusters, seed=seed)
        self._put(match_clusters(self.cluster_of, dict(zip(clients, found.labels, strict=True))))
        return found.silhouette

    def _put(self, clusters: Mapping[int, int]) -> None:
        self.cluster_of = dict(sorted({**self.cluster_of, **clusters}.items()))

    def _average_at_the_edge(self, sent: Mapping[int, Tensors]) -> dict[int, float]:
        """Average within the clusters, and for newcomers over all; return the weights in the clusters."""
        clusters = {client: self.cluster_of[client] for client in sent}
        averaged = {**self.networks, **self._averages(sent, clusters)}
        left = set(self.cluster_of.values())
        self.networks = {name: networks for name, networks in sorted(averaged.items()) if name in left}
        (self.common,) = self._averages(sent, dict.fromkeys(sent, 0)).values()
        return self._weights(clusters)

    def _averages(self, sent: Mapping[int, Tensors], clusters: Mapping[int, int]) -> dict[int, BlockStates]:
        blocks = {client: unflatten_blocks(tensors) for client, tensors in sent.items()}
        everybody = self._weights(dict.fromkeys(sent, 0))
        averaged = aggregate(blocks, {}, clusters, self._weights(clusters), everybody, buffers="average")
        return averaged.clusters

    def _weights(self, clusters: Mapping[int, int]) -> dict[int, float]:
        """Return the share of each client in the images of its cluster."""
        totals: dict[int, int] = {}
        for client, name in clusters.items():
            totals[name] = totals.get(name, 0) + self.clients[client].samples
        return {client: self.clients[client].samples / totals[name] for client, name in clusters.items()}

    def _product(self, name: str, clients: tuple[int, ...], networks: BlockStates) -> Product:
        if name not in self._measured:
            self._measured[name] = measured_generator(self.config, networks)
        return Product(name, clients, flatten_blocks(self._measured[name]))
