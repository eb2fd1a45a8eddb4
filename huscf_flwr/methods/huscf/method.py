"""HuSCF-GAN's server, between the split steps and the averaging.

It knows of every client its sample count, its device, its cut and its cluster, and nothing else. It watches
the activations of the discriminator's middle, and closes a round by clustering and averaging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, CutSolver, Price, deal_devices
from huscf_flwr.federation import (
    ActivationStatistics,
    Clusterer,
    Divergence,
    RoundResult,
    Weighting,
    comparable_means,
    feature_space,
)
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
)
from huscf_flwr.methods.generators import drawing_from
from huscf_flwr.methods.huscf.averaging import averaging_of, check_clusters, label_counts_of
from huscf_flwr.methods.huscf.checkpointing import load_state, state_of
from huscf_flwr.methods.huscf.client import HuSCFClient, HuSCFFromLabelsClient
from huscf_flwr.methods.huscf.cluster_memory import ClusterMemory
from huscf_flwr.methods.huscf.cluster_models import ClusterModels
from huscf_flwr.methods.huscf.crossing import (
    CROSSING,
    CROSSING_LOCAL,
    CROSSING_WITH_LABELS,
    SEGMENTS,
    HuSCFOrder,
    WindowOrder,
    block_forms,
    group_of,
)
from huscf_flwr.methods.huscf.cut_choice import check_cuts, price_of_cuts
from huscf_flwr.methods.huscf.cut_plan import CutPlan
from huscf_flwr.methods.huscf.local_client import HuSCFLocalClient, check_local_discriminator
from huscf_flwr.methods.huscf.observation import Observation, Seen, ToldObservation
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.methods.huscf.telling import facts_of_clients, facts_of_new_cuts, new_cuts_note, parted_note
from huscf_flwr.models import (
    BlockKey,
    BlockStates,
    Cut,
    Sampler,
    client_block_keys,
    flatten_blocks,
    initial_states,
    model_spec_of,
    unflatten_blocks,
)
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import derive_seed
from huscf_flwr.split import SplitExecutor, adam_settings


class HuSCF(Method):
    """Split, clustered, federated training of a conditional GAN (arXiv 2507.12979).

    Its parts are objects: give another clusterer, divergence, weighting or cut solver to change the method.
    """

    name: ClassVar = "huscf"
    Settings: ClassVar = HuSCFSettings
    client: ClassVar[type[HuSCFClient]] = HuSCFClient
    crossing: ClassVar = CROSSING
    privacy: ClassVar = frozenset({"activation_clip", "activation_noise", "detect_tampering", "min_cluster"})
    sees: ClassVar[type[Observation]] = Observation
    """How the server gets what clusters and weights come from."""

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
        self._label_counts = label_counts_of(config, self.clients, self.spec)
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
        self.models = ClusterModels(config, self.spec, self.bodies)
        self.memory = ClusterMemory(self.clients)
        self.observation = self.sees(config, self.clients)
        self._block_forms = block_forms(initial_states(self.spec, seed=config.seed, dtype=dtype_of(config)))

    @classmethod
    def variant(cls, config: RunConfig) -> type[HuSCF]:
        """Return the class whose clients do what the settings ask: keep the discriminator, tell labels."""
        if cls is not HuSCF:
            return cls
        if config.privacy.epsilon is not None:
            from huscf_flwr.methods.huscf.private_method import private_variant  # noqa: PLC0415 - derived

            return private_variant(config)
        if config.privacy.local_discriminator:
            return HuSCFLocal
        return HuSCFFromLabels if config.settings(HuSCFSettings).weights_from == "labels" else cls

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` if clusters or cuts cannot be had with the virtual clients of ``config``."""
        check_clusters(config, config.clients)
        averaging_of(config)
        check_cuts(config, model_spec_of(config), deal_devices(config))

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from a cluster's generator."""
        return drawing_from(config, product)

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:
        """Return what a step costs with the cuts that would be chosen."""
        return price_of_cuts(config, problem)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return epochs times the batches of the largest of ``clients``."""
        return self.config.local_epochs * largest_epoch(self.clients, clients, self.config)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the cut of each client, its cluster's blocks, and what it takes over from the server.

        A group is a block of a cluster: what several clients of one cluster keep travels once. Clients that
        are not settled in a cluster are a group of their own. There are no blocks before the first averaging
        where every client starts from its own weights.
        """
        groups: dict[str, dict[str, Tensors]] = {}
        orders, settled = {}, self.models.settled
        for client in clients:
            cluster = settled.get(client)
            begun = self.models.first_blocks(cluster) is not None
            needed = sorted(self.cuts.kept_blocks(client)) if begun else []
            for key in needed:
                name = group_of(cluster, key)
                if name not in groups:
                    groups[name] = {SEGMENTS: flatten_blocks({key: self.models.averaged(cluster, key)})}
            orders[client] = Order(
                facts=self._facts(client, clients),
                tensors=self.cuts.taken_tensors(client, self.bodies.body_of(client)),
                groups=tuple(group_of(cluster, key) for key in needed),
            )
        return Orders(clients=orders, groups=groups)

    def executor(self, number: int, clients: Sequence[int]) -> SplitExecutor:
        """Return the bodies, which from now on are watched anew."""
        self.observation.begin(clients)
        self.bodies.cuts = {client: self.cuts.now[client] for client in clients}
        self.bodies.observe = self.observation.observer
        if self.models.common is not None and self._may_leave_behind(number):
            self.bodies.keep_common()
        return self.bodies

    def form(self, client: int) -> Form:
        """Return types and shapes of the blocks that a client keeps, and of what it tells."""
        keys = client_block_keys(self.spec, self.cuts.now[client])
        blocks = {name: header for key in keys for name, header in self._block_forms[key].items()}
        return {SEGMENTS: blocks, **self.observation.form}

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Cluster and average what the clients trained, take the averages over, and choose cuts anew.

        Clients that were absent or dropped out are in no average, and keep their cluster.
        """
        seen = self.observation.statistics(collected)
        blocks = {k: unflatten_blocks(upload.tensors[SEGMENTS]) for k, upload in collected.uploads.items()}
        apart, bodies, joined = self.bodies.parted, len(self.bodies.bodies), dict[int, int]()
        if apart and seen is not None:
            result = self._average_apart(number, seen, blocks)
            joined = self._joined({k: own for k, own in seen.items() if k not in result.clusters})
        else:
            result = self._cluster_and_average(number, seen, blocks)
        self._forget_common()
        self.cuts.trained(collected.uploads)
        facts: dict[str, Any] = {"silhouette": result.silhouette, "bodies": bodies}
        clients = facts_of_clients(result, joined, self.cuts.now)
        notes = [] if self.bodies.parted == apart else [parted_note(len(self.bodies.bodies))]
        trained_with = dict(self.cuts.now)
        steps_left = self.steps(number, self.observation.clients) * (self.rounds(self.config) - number)
        reselection = self.cuts.reselect(number, steps_left, collected)
        if reselection is not None:
            changes = self.models.output_changes(trained_with, self.cuts.now)
            facts["new_cuts"] = facts_of_new_cuts(reselection, trained_with, self.cuts.now, changes)
            notes.append(new_cuts_note(facts["new_cuts"]))
        return Outcome(facts=facts, clients=clients, notes=tuple(notes))

    def products(self) -> list[Product]:
        """Return each cluster's generator; there are none before the first round."""
        return [self._product(cluster, self.cuts.largest) for cluster in self.models.names]

    def judged_for(self, clients: Sequence[int]) -> Product | None:
        """Return the generator of most of ``clients``, or what the first of them runs; see ``judged``."""
        if self.settings.judged == "cluster":
            return super().judged_for(clients)
        cluster_of, names = self.models.of_client, self.models.names
        first = min((client for client in clients if cluster_of.get(client) in names), default=None)
        return None if first is None else self._product(cluster_of[first], self.cuts.of_last_round[first])

    def clusters(self) -> Mapping[int, int]:
        """Return the cluster of every client that a round has found in one."""
        return self.models.of_client

    def predicted_step_s(self) -> float:
        """Return the seconds that the latency model predicts for a step of a round's clients."""
        return self.cuts.solution.latency_s

    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """Return who keeps what, as ``cuts``."""
        return {"cuts": self.cuts.document()}

    def state(self) -> State:
        """Return clusters, cuts, bodies, blocks, and what rounds have found; see ``state_of``."""
        return state_of(self.cuts, self.bodies, self.models, self.memory)

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is of other clients or cuts."""
        load_state(state, self.cuts, self.bodies, self.models, self.memory)

    def _facts(self, client: int, clients: Sequence[int]) -> HuSCFOrder:  # noqa: ARG002 - a variant needs them
        """Return what a client is told beside its tensors, in a round of ``clients``."""
        return HuSCFOrder(cut=self.cuts.now[client])

    def _cluster_and_average(
        self, number: int, seen: Seen, blocks: Mapping[int, BlockStates]
    ) -> RoundResult[BlockKey]:
        """Take in a round in which all clients shared the bodies; if none was seen, they are one cluster."""
        before = self.models.of_client
        result = self.averaging.after_round(
            number,
            statistics=seen,
            samples=self._samples(blocks),
            previous_clusters=before,
            client_blocks=blocks,
            bodies=self._body_states(),
            seed=derive_seed(self.config.seed, "clustering", number) % 2**32,
            known=self.memory.known(blocks),
            earlier=self.memory.evidence,
            label_counts=self._label_counts,
            shared=self.cuts.shared_blocks,
        )
        self.models.take(result.clusters, result.cluster_blocks, self.cuts.shared_blocks)
        self.memory.take(before, result)
        ready = self.memory.everybody_is_sure or self.bodies.common is not None
        agreed = self.memory.agree(before, self.models.of_client, result)
        parts = ready and agreed and self._may_part(number)
        if not parts and any(result.global_weights.values()):
            self.models.common = self._common_blocks(number, blocks, result)
        self._load_bodies(result)
        if parts and seen is not None:
            self._part(seen, result)
        return result

    def _average_apart(
        self, number: int, seen: Mapping[int, ActivationStatistics], blocks: Mapping[int, BlockStates]
    ) -> RoundResult[BlockKey]:
        """Take in a round in which each cluster had its bodies; who is settled in none is in no average."""
        settled = self.models.settled
        members = [client for client in seen if client in settled]
        result = self.averaging.after_round_apart(
            number,
            statistics={client: seen[client] for client in members},
            samples=self._samples(members),
            clusters=settled,
            client_blocks={client: blocks[client] for client in members},
            bodies=self._body_states(),
            label_counts=self._label_counts,
        )
        self.models.take(result.clusters, result.cluster_blocks)
        self._load_bodies(result)
        return result

    def _samples(self, clients: Iterable[int]) -> dict[int, int]:
        return {client: self.clients[client].samples for client in clients}

    def _body_states(self) -> dict[int, BlockStates]:
        return {name: body.states() for name, body in self.bodies.bodies.items()}

    def _load_bodies(self, result: RoundResult[BlockKey]) -> None:
        for name, body in result.bodies.items():
            self.bodies.bodies[name].load(body)

    def _common_blocks(
        self, number: int, blocks: Mapping[int, BlockStates], result: RoundResult[BlockKey]
    ) -> BlockStates | None:
        """Return the average over all clients, if anybody may begin without a cluster; None otherwise.

        It is not needed as long as all clients are in each round.
        """
        everybody = self.models.of_client.keys() == self.clients.keys()
        if everybody and (self.memory.known(blocks) is None or not self._may_leave_behind(number + 1)):
            return None
        return self.averaging.common_blocks(blocks, self.bodies.segments.states(), result.global_weights)

    def _may_part(self, number: int) -> bool:
        """Return whether bodies may part after round ``number``: none do while rounds average all clients."""
        wanted = self.settings.bodies == "parted" and number >= self.settings.plain_rounds
        return wanted and not self.bodies.parted

    def _may_leave_behind(self, number: int) -> bool:
        """Return whether bodies may part after round ``number`` without all clients being sure."""
        if not self._may_part(number) or self.memory.everybody_is_sure:
            return False
        return self.memory.may_soon_agree(self.models.of_client)

    def _part(self, seen: Mapping[int, ActivationStatistics], result: RoundResult[BlockKey]) -> None:
        """Give each cluster bodies of its own.

        A client whose cluster is not sure is counted to it until it next takes part. Then it runs blocks and
        bodies as they were at the start of this round, and is compared with what was ``seen`` in it.
        """
        sure = {k: cluster for k, cluster in self.models.of_client.items() if k in self.memory.sure}
        self.models.part(sure)
        self.bodies.part(sure)
        space = feature_space([*seen.values()], self.averaging.feature_scaling)
        self.memory.settle(self.models.names, result.places, space)

    def _joined(self, newcomers: Mapping[int, ActivationStatistics]) -> dict[int, int]:
        """Let each newcomer join the cluster that it is most like; return which, by client id."""
        if not newcomers:
            return {}
        means = comparable_means([*newcomers.values()], self.averaging.feature_scaling)
        joined = self.memory.nearest(dict(zip(newcomers, means, strict=True)))
        self.models.take(joined, {})
        self.bodies.part(self.models.settled)
        return joined

    def _forget_common(self) -> None:
        """Forget what only clients need that are not settled, if there are none that bodies left behind."""
        parted, everybody = self.bodies.parted, self.models.settled.keys() == self.clients.keys()
        if everybody or not parted:
            self.bodies.common = None
        if everybody and parted:
            self.models.common = None
            self.memory.forget_places()

    def _product(self, cluster: int, cut: Cut) -> Product:
        states: BlockStates = self.models.generator_states(cluster, cut)
        return Product(f"cluster-{cluster}", self.models.members(cluster), flatten_blocks(states))


class HuSCFFromLabels(HuSCF):
    """The variant whose clients tell how many images of each label they have: an ablation, and a leak."""

    client: ClassVar[type[HuSCFClient]] = HuSCFFromLabelsClient
    crossing: ClassVar = CROSSING_WITH_LABELS


class HuSCFLocal(HuSCF):
    """The variant whose clients keep the whole discriminator: no activation of a real image crosses."""

    client: ClassVar[type[HuSCFClient]] = HuSCFLocalClient
    crossing: ClassVar = CROSSING_LOCAL
    privacy: ClassVar = frozenset({"detect_tampering", "local_discriminator", "min_cluster", "min_observed"})
    sees: ClassVar[type[Observation]] = ToldObservation

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` also if labels of images, or statistics of few, would cross."""
        check_local_discriminator(config)
        super().check(config)

    def _facts(self, client: int, clients: Sequence[int]) -> WindowOrder:
        window = self.observation.window(clients)
        return WindowOrder(cut=self.cuts.now[client], observed=(window[0], window[-1]))
