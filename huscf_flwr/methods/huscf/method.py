"""HuSCF-GAN's server, between the split steps and the averaging.

It knows of every client its sample count, its device, its cut and its cluster, and nothing else. It watches
the activations of the discriminator's middle, and closes a round by clustering and averaging.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutSolver, Reselection, deal_devices
from huscf_flwr.federation import (
    ActivationAccumulator,
    Clusterer,
    Divergence,
    RoundResult,
    Weighting,
)
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
)
from huscf_flwr.methods.huscf.averaging import averaging_of, check_clusters
from huscf_flwr.methods.huscf.client import HuSCFClient
from huscf_flwr.methods.huscf.cluster_models import ClusterModels
from huscf_flwr.methods.huscf.crossing import (
    CROSSING,
    SEGMENTS,
    TAKEN_BLOCKS,
    TAKEN_MOMENTS,
    HuSCFOrder,
)
from huscf_flwr.methods.huscf.cut_choice import choose_cuts
from huscf_flwr.methods.huscf.cut_plan import CutPlan
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.models import (
    BlockKey,
    BlockStates,
    Cut,
    Sampler,
    client_block_keys,
    flatten_blocks,
    initial_states,
    largest_cut,
    model_spec_of,
    output_change,
    sampler_of,
    unflatten_blocks,
)
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import derive_seed
from huscf_flwr.session import TensorHeader
from huscf_flwr.split import Observer, SplitExecutor, adam_settings


class HuSCF(Method):
    """Split, clustered, federated training of a conditional GAN (arXiv 2507.12979).

    Its parts are objects: give another clusterer, divergence, weighting or cut solver to change the method.
    """

    name: ClassVar = "huscf"
    Settings: ClassVar = HuSCFSettings
    client: ClassVar = HuSCFClient
    crossing: ClassVar = CROSSING

    def __init__(
        self,
        config: RunConfig,
        clients: Mapping[int, Description],
        *,
        clusterer: Clusterer | None = None,
        divergence: Divergence | None = None,
        weighting: Weighting | None = None,
        cut_solver: CutSolver | None = None,
    ) -> None:
        """Choose the cuts, and build the bodies; an object that is given takes the configured one's place."""
        super().__init__(config, clients)
        check_clusters(config, len(clients))
        self.settings = config.settings(HuSCFSettings)
        self.spec = model_spec_of(config)
        self.averaging = averaging_of(config, clusterer=clusterer, divergence=divergence, weighting=weighting)
        devices = {client: description.device for client, description in self.clients.items()}
        self.cuts = CutPlan(config, self.spec, devices, cut_solver)
        self.bodies = SplitExecutor(
            self.spec,
            self.cuts.now,
            seed=config.seed,
            adam=adam_settings(config),
            dtype=dtype_of(config),
            device=device_of(config.compute),
        )
        self.models = ClusterModels(config, self.spec, list(self.clients), self.bodies)
        self._observed: dict[int, ActivationAccumulator] = {}
        self._block_forms = _forms(initial_states(self.spec, seed=config.seed, dtype=dtype_of(config)))

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` if clusters or cuts cannot be had with the virtual clients of ``config``."""
        check_clusters(config, config.clients)
        averaging_of(config)
        choose_cuts(config, model_spec_of(config), deal_devices(config))

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from a cluster's generator."""
        states, device = unflatten_blocks(product), device_of(config.compute)
        return sampler_of(model_spec_of(config), states, dtype_of(config), device)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return epochs times the batches of the largest client."""
        return self.config.local_epochs * self._epoch

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the cut of each client, its cluster's blocks, and what it takes over from the server.

        A group is a block of a cluster: what several clients of one cluster keep travels once. There are none
        before the first averaging where every client starts from its own weights.
        """
        groups: dict[str, dict[str, Tensors]] = {}
        orders = {}
        for client in clients:
            cluster = self.models.of_client[client]
            needed = sorted(self.cuts.kept_blocks(client)) if cluster in self.models.blocks else []
            for key in needed:
                name = _group(cluster, key)
                if name not in groups:
                    groups[name] = {SEGMENTS: flatten_blocks({key: self.models.averaged(cluster, key)})}
            orders[client] = Order(
                facts=HuSCFOrder(cut=self.cuts.now[client]),
                tensors=self._taken(client),
                groups=tuple(_group(cluster, key) for key in needed),
            )
        return Orders(clients=orders, groups=groups)

    def executor(self, number: int, clients: Sequence[int]) -> SplitExecutor:  # noqa: ARG002 - the same in all rounds
        """Return the bodies, which from now on are watched anew."""
        self._observed = {client: ActivationAccumulator() for client in self.clients}
        self.bodies.cuts = dict(self.cuts.now)
        self.bodies.observe = self._observer
        return self.bodies

    def form(self, client: int) -> Form:
        """Return types and shapes of the blocks that a client keeps."""
        keys = client_block_keys(self.spec, self.cuts.now[client])
        return {SEGMENTS: {name: header for key in keys for name, header in self._block_forms[key].items()}}

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Cluster and average what the clients trained, take the averages over, and choose cuts anew.

        Clients that dropped out are in no average, and keep their cluster.
        """
        result = self._after_round(number, collected)
        before, parted_before = self.models.of_client, self.bodies.parted
        self.models.take(result.clusters, result.cluster_blocks)
        for name, body in result.bodies.items():
            self.bodies.bodies[name].load(body)
        if self._should_part(number, before, result.clusters):
            self.bodies.part(self.models.of_client)
        self.cuts.trained(collected.uploads)
        facts, clients = self._facts(result), self._facts_of_clients(result)
        notes = [] if self.bodies.parted == parted_before else [_parted(len(self.bodies.bodies))]
        trained_with = dict(self.cuts.now)
        steps_left = self.steps(number, list(self.clients)) * (self.rounds(self.config) - number)
        reselection = self.cuts.reselect(number, steps_left, collected)
        if reselection is not None:
            facts["new_cuts"] = self._new_cuts(reselection, trained_with)
            notes.append(_describe(facts["new_cuts"]))
        return Outcome(facts=facts, clients=clients, notes=tuple(notes))

    def products(self) -> list[Product]:
        """Return each cluster's generator; none before clients that start apart were first averaged."""
        averaged = [cluster for cluster in self.models.names if cluster in self.models.blocks]
        return [self._product(cluster, largest_cut(self.spec)) for cluster in averaged]

    def judged_for(self, clients: Sequence[int]) -> Product | None:
        """Return the generator of most of ``clients``, or, as ``judged`` says, what the first one runs."""
        if self.settings.judged == "cluster":
            return super().judged_for(clients)
        first = min(clients)
        return self._product(self.models.of_client[first], self.cuts.of_last_round[first])

    def clusters(self) -> Mapping[int, int]:
        """Return the cluster of every client."""
        return self.models.of_client

    def predicted_step_s(self) -> float:
        """Return the seconds that the latency model predicts for a step."""
        return self.cuts.solution.latency_s

    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """Return who keeps what, as ``cuts``."""
        return {"cuts": self.cuts.document()}

    def state(self) -> State:
        """Return clusters, cuts, bodies with their optimisers' moments, and every cluster's blocks."""
        tensors: dict[str, Any] = {}
        for name, segments in self.bodies.bodies.items():
            place = _place(name, self.bodies.parted)
            tensors |= flatten_blocks(segments.states(), f"{place}body/")
            tensors |= {f"{place}moments/{moment}": value for moment, value in segments.moments().items()}
        for cluster, blocks in self.models.blocks.items():
            tensors |= flatten_blocks(blocks, f"cluster-{cluster}/blocks/")
        facts = {
            **self.cuts.state(),
            "clusters": {str(client): cluster for client, cluster in self.models.of_client.items()},
            "cluster_names": sorted(self.models.blocks),
            "parted": self.bodies.parted,
        }
        return State(facts, tensors)

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is of other clients or cuts."""
        facts, tensors = state.facts, state.tensors
        self.cuts.load(facts)
        clusters = {int(client): cluster for client, cluster in facts["clusters"].items()}
        if facts["parted"] and not self.bodies.parted:
            self.bodies.part(clusters)
        for name, segments in self.bodies.bodies.items():
            place = _place(name, self.bodies.parted)
            segments.load(unflatten_blocks(tensors, f"{place}body/"))
            segments.forget_moments()
            prefix = f"{place}moments/"
            segments.load_moments(
                {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            )
        names = facts["cluster_names"]
        self.models.load(
            clusters, {name: unflatten_blocks(tensors, f"cluster-{name}/blocks/") for name in names}
        )

    @property
    def _epoch(self) -> int:
        samples = max(description.samples for description in self.clients.values())
        return math.ceil(samples / self.config.batch_size)

    def _observer(self, step: int) -> Observer | None:
        steps = self.config.local_epochs * self._epoch
        observed = {
            "first-epoch": range(1, self._epoch + 1),
            "last-epoch": range(steps - self._epoch + 1, steps + 1),
            "last-batch": (steps,),
        }[self.settings.feature_window]
        return (lambda client, seen: self._observed[client].observe(seen)) if step in observed else None

    def _taken(self, client: int) -> dict[str, Tensors]:
        """Return what a client takes over if its cut has grown: it goes on with what the server ran for it.

        A block that a client gives up needs nothing: its weights went into the server's copy when the round
        was averaged, and its moments stay behind. A block that the server never trained has no moments.
        """
        keys = self.cuts.taken_blocks(client)
        if not keys:
            return {}
        body = self.bodies.body_of(client)
        states = {key: state for key, state in body.states().items() if key in keys}
        prefixes = tuple(f"{network}.{index}." for network, index in keys)
        moments = {name: value for name, value in body.moments().items() if name.startswith(prefixes)}
        return {TAKEN_BLOCKS: flatten_blocks(states), **({TAKEN_MOMENTS: moments} if moments else {})}

    def _after_round(self, number: int, collected: Collected) -> RoundResult[BlockKey]:
        present = sorted(collected.uploads)
        statistics = {client: self._observed[client].statistics() for client in present}
        samples = {client: self.clients[client].samples for client in present}
        blocks = {k: unflatten_blocks(upload.tensors[SEGMENTS]) for k, upload in collected.uploads.items()}
        bodies = {name: body.states() for name, body in self.bodies.bodies.items()}
        if self.bodies.parted:
            return self.averaging.after_round_apart(
                number,
                statistics=statistics,
                samples=samples,
                clusters=self.models.of_client,
                client_blocks=blocks,
                bodies=bodies,
            )
        return self.averaging.after_round(
            number,
            statistics=statistics,
            samples=samples,
            previous_clusters=self.models.of_client if number > 1 else {},
            client_blocks=blocks,
            bodies=bodies,
            seed=derive_seed(self.config.seed, "clustering", number) % 2**32,
        )

    def _should_part(self, number: int, before: Mapping[int, int], found: Mapping[int, int]) -> bool:
        """Return whether each cluster gets bodies of its own now: two rounds in a row agree on the clusters.

        The round must have ``found`` each of them: of a cluster whose clients are absent nothing was seen.
        While rounds average all clients, none parts.
        """
        now = self.models.of_client
        return (
            self.settings.bodies == "parted"
            and not self.bodies.parted
            and number >= self.settings.plain_rounds
            and len(set(now.values())) > 1
            and set(found.values()) == set(now.values())
            and now == before
        )

    def _facts(self, result: RoundResult[BlockKey]) -> dict[str, Any]:
        return {
            "silhouette": result.silhouette,
            "bodies": len(result.bodies),
        }

    def _facts_of_clients(self, result: RoundResult[BlockKey]) -> dict[int, dict[str, Any]]:
        return {
            client: {
                "cluster": cluster,
                "cut": list(self.cuts.now[client]),
                "weight": result.cluster_weights[client],
                "global_weight": result.global_weights[client],
                "divergence": result.divergences[client],
            }
            for client, cluster in sorted(result.clusters.items())
        }

    def _new_cuts(self, reselection: Reselection, trained_with: Mapping[int, Cut]) -> dict[str, Any]:
        moves = {k: (cut, self.cuts.now[k]) for k, cut in trained_with.items() if cut != self.cuts.now[k]}
        return {
            "step_seconds_before": reselection.before_s,
            "step_seconds_predicted": reselection.solution.latency_s,
            "moving_seconds": reselection.cost_s,
            "clients": [
                {
                    "id": client,
                    "before": list(before),
                    "after": list(after),
                    "output_change": self._output_change(client, before, after),
                }
                for client, (before, after) in sorted(moves.items())
            ],
        }

    def _output_change(self, client: int, before: Cut, after: Cut) -> float:
        """Compare the images of the generator that a client ran with those of the one that it will run."""
        old, new = self.models.states_after_move(client, before, after)
        return output_change(self.spec, old, new, dtype_of(self.config), seed=self.config.seed)

    def _product(self, cluster: int, cut: Cut) -> Product:
        states: BlockStates = self.models.generator_states(cluster, cut)
        return Product(f"cluster-{cluster}", self.models.members(cluster), flatten_blocks(states))


def _forms(states: BlockStates) -> dict[BlockKey, dict[str, TensorHeader]]:
    return {
        key: {
            name: TensorHeader(tensor.dtype, tuple(tensor.shape))
            for name, tensor in flatten_blocks({key: state}).items()
        }
        for key, state in states.items()
    }


def _group(cluster: int, key: BlockKey) -> str:
    network, index = key
    return f"cluster-{cluster}/{network}.{index}"


def _place(body: int, parted: bool) -> str:
    """Return how the names of a body's tensors begin: among those of its cluster, if it has one."""
    return f"cluster-{body}/" if parted else ""


def _parted(bodies: int) -> str:
    return (
        f"two rounds in a row have found the same {bodies} clusters: from now on each has bodies of its own, "
        "and its clients stay"
    )


def _describe(new_cuts: Mapping[str, Any]) -> str:
    moves = "; ".join(
        f"client {move['id']} from {_words(move['before'])} to {_words(move['after'])} "
        f"(generated images change by {move['output_change']:.4f})"
        for move in new_cuts["clients"]
    )
    return (
        f"new cuts: {moves}; predicted step {new_cuts['step_seconds_before']:.4g} s before, "
        f"{new_cuts['step_seconds_predicted']:.4g} s from now on"
    )


def _words(cut: Sequence[int]) -> str:
    return " ".join(map(str, cut))
