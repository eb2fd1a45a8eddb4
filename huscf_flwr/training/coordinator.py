"""The server's side of a run, between the split steps and the averaging.

The coordinator knows, for every client, its sample count, its cut and its cluster, and nothing else about
it. It opens a lock-step session for each round, watches the activations of the discriminator's middle, and
closes the round by clustering and averaging. Flower's strategy and the local engine both drive this class.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import Reselection, StepTimes
from huscf_flwr.federation import ActivationAccumulator, ClusteredAveraging, RoundResult
from huscf_flwr.models import (
    NETWORKS,
    BlockKey,
    BlockState,
    BlockStates,
    Cut,
    ModelSpec,
    all_block_keys,
    build_blocks,
    client_block_keys,
    largest_cut,
)
from huscf_flwr.process import device_of
from huscf_flwr.seeding import derive_seed
from huscf_flwr.split import (
    ClientTimes,
    DroppedClient,
    Ledger,
    LockStep,
    Observer,
    Patience,
    Segments,
    SplitExecutor,
    StepLosses,
)
from huscf_flwr.training.cut_choice import CutReselection
from huscf_flwr.training.generators import output_change, with_measured_statistics
from huscf_flwr.training.moments import KeptMoments
from huscf_flwr.training.participant import adam_settings, dtype_of, wire_type_of
from huscf_flwr.training.taken_blocks import TakenBlocks, taken_from

SEGMENTS_KIND = "segments"
TAKEN_KIND = "blocks that change sides"


@dataclass(frozen=True)
class FinishedRound:
    """What is known of a round when it is over."""

    number: int
    hosts: int
    steps: int
    seconds: float
    losses: Mapping[int, StepLosses]
    """Mean losses by client."""
    samples: Mapping[int, int]
    result: RoundResult[BlockKey]
    ledger: Ledger
    cuts: Mapping[int, Cut]
    times: Mapping[int, StepTimes]
    """Seconds of a step by client; empty if nobody measured."""
    server_s: float
    """Seconds that the executor computed in a step."""
    step_seconds: Sequence[float]
    """How long each step took; the first from the opening of the session on."""
    drop_outs: Mapping[int, DroppedClient]
    """The clients that did not take part to the end, and are in no average."""


@dataclass(frozen=True)
class CutChange:
    """A client's cut that is another from the next round on."""

    before: Cut
    after: Cut
    output_change: float
    """Root mean square of the change of the client's generated images, whose pixels are from -1 to 1."""


class Coordinator:
    """State of the server over the rounds: bodies, cluster models, clusters, and the open session."""

    def __init__(
        self,
        config: RunConfig,
        spec: ModelSpec,
        *,
        samples: Mapping[int, int],
        cuts: Mapping[int, Cut],
        method: ClusteredAveraging,
        reselection: CutReselection | None = None,
    ) -> None:
        """Start before the first round; ``samples`` and ``cuts`` are by client id.

        Without a ``reselection`` the cuts stay as they are.
        """
        self.config = config
        self.spec = spec
        self.samples = dict(samples)
        self.cuts = dict(cuts)
        self.cuts_before = dict(cuts)
        """The cuts of the round before: what a client keeps now and did not then, it takes over."""
        self.method = method
        self.reselection = reselection
        self.executor = SplitExecutor(
            spec,
            cuts,
            seed=config.seed,
            adam=adam_settings(config),
            dtype=dtype_of(config),
            device=device_of(config.compute),
        )
        self.training = secrets.token_hex(16)
        """Name by which clients find what they keep for this training, over all runs that resume it."""
        states = _initial_states(config, spec)
        self._shapes = {
            key: {name: (tensor.dtype, tensor.shape) for name, tensor in state.items()}
            for key, state in states.items()
        }
        self.round = 0
        self.kept_moments: dict[int, KeptMoments] = {}
        """What each client has last kept for itself, if anything."""
        self.clusters: dict[int, int] = dict.fromkeys(sorted(samples), 0)
        self.cluster_blocks: dict[int, BlockStates] = {}
        if config.method.initialisation == "common":
            self.cluster_blocks[0] = states
        self.ledger = Ledger()
        self._observed: dict[int, ActivationAccumulator] = {}
        self._generators: dict[tuple[int, Cut], BlockStates] = {}
        self._started = 0.0
        self._session: LockStep | None = None
        self._before: dict[int, _Snapshot] = {}

    @property
    def steps(self) -> int:
        """Steps in a round: epochs times the batches of the largest client."""
        batches = math.ceil(max(self.samples.values()) / self.config.batch_size)
        return self.config.local_epochs * batches

    def blocks_for(self, clients: Sequence[int]) -> dict[int, BlockStates]:
        """Return, by cluster, the blocks that some of ``clients`` keep: each travels once per cluster.

        Empty before the first averaging where every client starts from its own weights. Blocks that a client
        takes over from the server are not among them.
        """
        needed: dict[int, set[BlockKey]] = {}
        for client in clients:
            kept = set(client_block_keys(self.spec, self.cuts[client]))
            kept &= set(client_block_keys(self.spec, self.cuts_before[client]))
            needed.setdefault(self.clusters[client], set()).update(kept)
        return {
            cluster: {key: self._averaged(cluster, key) for key in sorted(keys)}
            for cluster, keys in sorted(needed.items())
            if cluster in self.cluster_blocks
        }

    def taken_by(self, clients: Sequence[int]) -> dict[int, TakenBlocks]:
        """Return what those of ``clients`` take over from the server whose cuts have grown."""
        taken = {
            client: taken_from(
                self.executor.body_of(client), self.spec, self.cuts_before[client], self.cuts[client]
            )
            for client in clients
        }
        return {client: blocks for client, blocks in taken.items() if blocks.states}

    def open_round(
        self,
        hosts: Sequence[Sequence[int]],
        progress: Callable[[int], None] = lambda _: None,
        patience: Patience = lambda _: math.inf,
        on_drop_out: Callable[[int, DroppedClient], None] = lambda *_: None,
    ) -> LockStep:
        """Begin the next round; ``hosts`` lists the client ids of each host.

        The other arguments are those of ``LockStep``.
        """
        self.round += 1
        self._before = {name: _Snapshot.of(body) for name, body in self.executor.bodies.items()}
        self._started = time.monotonic()
        self.ledger = Ledger()
        self._observed = {client: ActivationAccumulator() for client in self.samples}
        for clients in hosts:
            for cluster, blocks in self.blocks_for(clients).items():
                receiver = next(client for client in clients if self.clusters[client] == cluster)
                self.ledger.record(receiver, "down", SEGMENTS_KIND, byte_count(blocks))
            for client, taken in self.taken_by(clients).items():
                self.ledger.record(client, "down", TAKEN_KIND, taken.byte_count)
        self._session = LockStep(
            self.executor,
            hosts,
            ledger=self.ledger,
            steps=self.steps,
            patience=patience,
            min_clients=self.config.min_clients,
            largest_batch=self.config.batch_size,
            observe=self._observer,
            progress=progress,
            on_drop_out=on_drop_out,
            wire=wire_type_of(self.config),
        )
        return self._session

    def close_round(
        self,
        client_blocks: Mapping[int, BlockStates],
        losses: Mapping[int, StepLosses],
        times: Mapping[int, ClientTimes] | None = None,
        kept: Mapping[int, KeptMoments] | None = None,
    ) -> FinishedRound:
        """Cluster and average what the clients trained; take the averages over.

        Clients without blocks have dropped out: they are in no average, and keep their cluster. ``times`` are
        the clients' own measurements of the round, ``kept`` is what they keep for themselves.
        """
        assert self._session is not None
        present = sorted(client_blocks)
        for client, blocks in client_blocks.items():
            self.ledger.record(client, "up", SEGMENTS_KIND, byte_count(blocks))
        result = self._after_round(present, client_blocks)
        clusters_before, self.clusters = self.clusters, _with_absent(self.clusters, result.clusters)
        still_there = set(self.clusters.values())
        untouched = {name: own for name, own in self.cluster_blocks.items() if name in still_there}
        self.cluster_blocks = {**untouched, **result.cluster_blocks}
        for name, body in result.bodies.items():
            self.executor.bodies[name].load(body)
        if self._should_part(clusters_before, result.clusters):
            self.executor.part(self.clusters)
        self.kept_moments.update(kept or {})
        self._generators = {}
        # Who dropped out has not taken over a block yet.
        self.cuts_before |= {client: self.cuts[client] for client in present}
        seconds = time.monotonic() - self._started
        return FinishedRound(
            number=self.round,
            hosts=len(self._session.hosts),
            steps=self.steps,
            seconds=seconds,
            losses=losses,
            samples=self.samples,
            result=result,
            ledger=self.ledger,
            cuts=dict(self.cuts),
            times=self._step_times(self._session, times or {}),
            server_s=self._session.served_s / self.steps,
            step_seconds=self._session.step_seconds,
            drop_outs=self._session.dropped,
        )

    def _after_round(
        self, present: Sequence[int], client_blocks: Mapping[int, BlockStates]
    ) -> RoundResult[BlockKey]:
        statistics = {client: self._observed[client].statistics() for client in present}
        samples = {client: self.samples[client] for client in present}
        if self.executor.parted:
            return self.method.after_round_apart(
                self.round,
                statistics=statistics,
                samples=samples,
                clusters=self.clusters,
                client_blocks=client_blocks,
                bodies={name: body.states() for name, body in self.executor.bodies.items()},
            )
        return self.method.after_round(
            self.round,
            statistics=statistics,
            samples=samples,
            previous_clusters=self.clusters if self.round > 1 else {},
            client_blocks=client_blocks,
            body=self.executor.segments.states(),
            seed=derive_seed(self.config.seed, "clustering", self.round) % 2**32,
        )

    def _should_part(self, clusters_before: Mapping[int, int], found: Mapping[int, int]) -> bool:
        """Return whether clusters that two rounds in a row agree on are to have bodies of their own now.

        The round must have ``found`` each of them: of a cluster whose clients are absent nothing was seen.
        While rounds average all clients, none parts.
        """
        assert self.config.method.plain_rounds is not None
        return (
            self.config.method.bodies == "parted"
            and not self.executor.parted
            and self.round >= self.config.method.plain_rounds
            and len(set(self.clusters.values())) > 1
            and set(found.values()) == set(self.clusters.values())
            and self.clusters == clusters_before
        )

    def check_blocks(self, client: int, blocks: BlockStates) -> None:
        """Raise ``ValueError`` unless ``blocks`` are what a client keeps, and finite."""
        expected = self._shapes
        keys = client_block_keys(self.spec, self.cuts[client])
        if set(blocks) != set(keys):
            raise ValueError(f"client {client} sent blocks {sorted(blocks)}, not {sorted(keys)}")
        for key in keys:
            if {name: (t.dtype, t.shape) for name, t in blocks[key].items()} != expected[key]:
                raise ValueError(f"client {client} sent a block {key} of another shape or type")
            if not all(bool(t.isfinite().all()) for t in blocks[key].values()):
                raise ValueError(f"client {client} sent a block {key} with numbers that are not finite")

    def give_up_round(self) -> None:
        """Take back all that the round did to the server's state, so that it can be tried again."""
        if self._session is not None:
            self._session.wait_until_idle()
        self.round -= 1
        for name, before in self._before.items():
            before.restore(self.executor.bodies[name])

    def reselect_cuts(self, finished: FinishedRound) -> tuple[Reselection, dict[int, CutChange]] | None:
        """Learn from the times of a round, and change the cuts for the next one if that pays.

        Returns what was decided, and how each client that it concerns changes; None if all stays.
        """
        if self.reselection is None:
            return None
        self.reselection.learn(finished.cuts, finished.times, finished.server_s)
        steps_left = self.steps * (self.config.rounds - self.round)
        seed = derive_seed(self.config.seed, "cuts", self.round) % 2**32
        better = self.reselection.better(self.cuts, steps_left, seed)
        if better is None:
            return None
        chosen = dict(zip(sorted(self.cuts), better.solution.cuts, strict=True))
        changes = {
            client: CutChange(cut, chosen[client], self._output_change(client, cut, chosen[client]))
            for client, cut in sorted(self.cuts.items())
            if cut != chosen[client]
        }
        self.take_cuts(chosen, before=self.cuts_before)
        return better, changes

    def take_cuts(self, cuts: Mapping[int, Cut], before: Mapping[int, Cut]) -> None:
        """Use ``cuts`` from the next round on; those of the last round were ``before``."""
        self.cuts_before, self.cuts = dict(before), dict(cuts)
        self.executor.cuts = dict(cuts)

    def model_states(self, cluster: int, cut: Cut) -> BlockStates:
        """Return a whole model: the blocks that ``cut`` keeps from the cluster, the others from the server.

        With the largest cut it is the cluster's model; with a client's own, what that client would run. A
        block that no client keeps is in no cluster's average: it is the server's.
        """
        averaged = self.cluster_blocks[cluster]
        kept = {key for key in client_block_keys(self.spec, cut) if key in averaged}
        body = self._body(cluster)
        return {key: averaged[key] if key in kept else body[key] for key in all_block_keys(self.spec)}

    def generator_states(self, cluster: int, cut: Cut | None = None) -> BlockStates:
        """Return a cluster's generator as it is judged, exported and sampled.

        ``cut`` is that of ``model_states``; by default the largest.
        """
        cut = cut or largest_cut(self.spec)
        if (cluster, cut) not in self._generators:
            self._generators[cluster, cut] = self._generator_states(cluster, cut)
        return self._generators[cluster, cut]

    def _averaged(self, cluster: int, key: BlockKey) -> BlockState:
        """Return a block as a client of ``cluster`` starts with it.

        It is the server's if nobody of the cluster trained it, since all who keep it had dropped out.
        """
        averaged = self.cluster_blocks[cluster]
        return averaged[key] if key in averaged else self._body(cluster)[key]

    def _body(self, cluster: int) -> BlockStates:
        member = next(client for client, name in self.clusters.items() if name == cluster)
        return self.executor.body_of(member).states()

    def _generator_states(self, cluster: int, cut: Cut) -> BlockStates:
        states = self.model_states(cluster, cut)
        generator = {key: state for key, state in states.items() if key[0] == "generator"}
        if self.config.method.running_statistics == "averaged":
            return generator
        return with_measured_statistics(
            self.spec,
            generator,
            dtype_of(self.config),
            device_of(self.config.compute),
            seed=self.config.seed,
        )

    def _output_change(self, client: int, before: Cut, after: Cut) -> float:
        """Compare the generator that ``client`` ran with the one that it will run; see ``CutChange``."""
        cluster = self.clusters[client]
        kept = set(client_block_keys(self.spec, before)) & set(client_block_keys(self.spec, after))
        body = self._body(cluster)
        old = self.model_states(cluster, before)
        new = {key: state if key in kept else body.get(key, state) for key, state in old.items()}
        return output_change(self.spec, old, new, dtype_of(self.config), seed=self.config.seed)

    def _step_times(self, session: LockStep, times: Mapping[int, ClientTimes]) -> dict[int, StepTimes]:
        """Return the times of a step, with the time that frames waited here taken off their exchanges."""
        waited = {
            client: seconds
            for clients, seconds in zip(session.hosts, session.waited, strict=True)
            for client in clients
        }
        return {
            client: StepTimes(
                of_round.compute_s / self.steps,
                max(0.0, of_round.exchange_s - waited[client]) / self.steps,
            )
            for client, of_round in sorted(times.items())
        }

    def _observer(self, step: int) -> Observer | None:
        epoch = self.steps // self.config.local_epochs
        assert self.config.method.feature_window is not None
        observed = {
            "first-epoch": range(1, epoch + 1),
            "last-epoch": range(self.steps - epoch + 1, self.steps + 1),
            "last-batch": (self.steps,),
        }[self.config.method.feature_window]
        return (lambda client, seen: self._observed[client].observe(seen)) if step in observed else None


@dataclass(frozen=True)
class _Snapshot:
    """The executor's segments at the start of a round."""

    states: BlockStates
    moments: Mapping[str, Tensor]

    @classmethod
    def of(cls, segments: Segments) -> _Snapshot:
        return cls(
            {
                key: {name: tensor.clone() for name, tensor in state.items()}
                for key, state in segments.states().items()
            },
            {name: tensor.clone() for name, tensor in segments.moments().items()},
        )

    def restore(self, segments: Segments) -> None:
        segments.load(self.states)
        segments.forget_moments()
        segments.load_moments(self.moments)


def _with_absent(before: Mapping[int, int], now: Mapping[int, int]) -> dict[int, int]:
    """Return the clusters of all clients, of which only those in ``now`` were clustered.

    An absent client stays in its cluster. If that is there no more, it goes with most of those who were in
    it.
    """
    clusters = {}
    for client, cluster in before.items():
        fellows = [name for other, name in now.items() if before[other] == cluster]
        gone = cluster not in now.values() and bool(fellows)
        stays = Counter(fellows).most_common(1)[0][0] if gone else cluster
        clusters[client] = now.get(client, stays)
    return clusters


def byte_count(blocks: Mapping[BlockKey, Mapping[str, Tensor]]) -> int:
    """Return the bytes of all tensors in ``blocks``."""
    return sum(t.numel() * t.element_size() for state in blocks.values() for t in state.values())


def _initial_states(config: RunConfig, spec: ModelSpec) -> BlockStates:
    states: BlockStates = {}
    for network in NETWORKS:
        indices = range(len(spec.network(network).blocks))
        blocks = build_blocks(spec, network, indices, seed=config.seed, dtype=dtype_of(config))
        states.update(blocks.states())
    return states
