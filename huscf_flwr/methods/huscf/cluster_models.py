"""The clusters and their models: clients' averages and the server's bodies, put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.generators import generator_in, measured_generator
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.models import (
    BlockKey,
    BlockState,
    BlockStates,
    Cut,
    ModelSpec,
    all_block_keys,
    client_block_keys,
    initial_states,
    output_change,
)
from huscf_flwr.process import dtype_of
from huscf_flwr.split import SplitExecutor


class ClusterModels:
    """Which client is in which cluster, and every cluster's average of the blocks that clients keep.

    A client that is not settled in a cluster runs what is common to all, and goes by None in its place.

    Attributes:
        of_client: cluster by client id, of those that a round has found in one.
        undecided: those of them that are only counted to it until their next round: bodies have parted before
            their cluster was sure. It may be one that has no bodies.
        blocks: by cluster; once bodies have parted, of those that have bodies.
        common: blocks that clients who are not settled begin with; None if there are none, before the first
            averaging where every client starts from its own weights, or once nobody needs them.
    """

    def __init__(self, config: RunConfig, spec: ModelSpec, executor: SplitExecutor) -> None:
        """Start without clusters."""
        self._config = config
        self._spec = spec
        self._executor = executor
        self._settings = config.settings(HuSCFSettings)
        self.of_client: dict[int, int] = {}
        self.undecided: frozenset[int] = frozenset()
        self.blocks: dict[int, BlockStates] = {}
        self.common: BlockStates | None = None
        if self._settings.initialisation == "common":
            self.common = initial_states(spec, seed=config.seed, dtype=dtype_of(config))
        self._generators: dict[tuple[int, Cut], BlockStates] = {}

    @property
    def names(self) -> list[int]:
        """The clusters that have a model."""
        return sorted(self.blocks)

    @property
    def settled(self) -> dict[int, int]:
        """The cluster whose blocks and bodies a client runs, by client id, of those that run one's."""
        return {client: name for client, name in self.of_client.items() if client not in self.undecided}

    def members(self, cluster: int) -> tuple[int, ...]:
        """Return the clients of a cluster, those included that are only counted to it."""
        return tuple(sorted(client for client, name in self.of_client.items() if name == cluster))

    def take(
        self,
        found: Mapping[int, int],
        blocks: Mapping[int, BlockStates],
        shared: Collection[BlockKey] = (),
    ) -> None:
        """Take over the clusters ``found`` in a round, and settle their clients; others stay as they are.

        Blocks that are ``shared`` are those of the round in clusters of which nobody was there too.
        """
        undecided = self.undecided - found.keys()
        kept = self.blocks
        if shared and blocks:
            some = next(iter(blocks.values()))
            common = {key: some[key] for key in shared}
            kept = {name: {**states, **common} for name, states in kept.items()}
        self.load({**self.of_client, **found}, {**kept, **blocks}, undecided)

    def part(self, sure: Mapping[int, int]) -> None:
        """Keep the models of the clusters of ``sure`` clients; the next round of any other decides on it."""
        blocks = {name: self.blocks[name] for name in set(sure.values())}
        self.load(self.of_client, blocks, self.of_client.keys() - sure.keys())

    def load(
        self,
        of_client: Mapping[int, int],
        blocks: Mapping[int, BlockStates],
        undecided: Collection[int] = (),
    ) -> None:
        """Go on with these clusters, and with the blocks of those that have clients."""
        self.of_client = dict(of_client)
        self.undecided = frozenset(undecided)
        self.blocks = {name: blocks[name] for name in sorted({*of_client.values()}) if name in blocks}
        self.forget_generators()

    def forget_generators(self) -> None:
        """Take note that the bodies have changed."""
        self._generators = {}

    def first_blocks(self, cluster: int | None) -> BlockStates | None:
        """Return the blocks with which a client of ``cluster`` begins, or None before there are any."""
        return self.common if cluster is None else self.blocks[cluster]

    def averaged(self, cluster: int | None, key: BlockKey) -> BlockState:
        """Return a block as a client of ``cluster`` starts with it.

        It is the server's if no client of the cluster trained it, because none that keeps it was there.
        """
        averaged = self._averaged(cluster)
        return averaged[key] if key in averaged else self._body(cluster)[key]

    def model_states(self, cluster: int | None, cut: Cut) -> BlockStates:
        """Return a whole model: the blocks that ``cut`` keeps from the cluster, the others from the server.

        With the largest cut it is the cluster's model; with a client's own, what that client would run. A
        block that no client keeps is in no cluster's average: it is the server's.
        """
        averaged = self._averaged(cluster)
        kept = {key for key in client_block_keys(self._spec, cut) if key in averaged}
        body = self._body(cluster)
        return {key: averaged[key] if key in kept else body[key] for key in all_block_keys(self._spec)}

    def generator_states(self, cluster: int, cut: Cut) -> BlockStates:
        """Return the generator of ``model_states`` as it is judged, exported and sampled."""
        if (cluster, cut) not in self._generators:
            self._generators[cluster, cut] = self._generator_states(cluster, cut)
        return self._generators[cluster, cut]

    def states_after_move(self, client: int, before: Cut, after: Cut) -> tuple[BlockStates, BlockStates]:
        """Return the model that ``client`` ran with one cut, and the one that it will run with another."""
        cluster = self.settled.get(client)
        kept = set(client_block_keys(self._spec, before)) & set(client_block_keys(self._spec, after))
        body = self._body(cluster)
        old = self.model_states(cluster, before)
        return old, {key: state if key in kept else body.get(key, state) for key, state in old.items()}

    def output_changes(self, before: Mapping[int, Cut], after: Mapping[int, Cut]) -> dict[int, float]:
        """Return how much the images change that each client with a new cut draws; see ``output_change``."""
        changes = {}
        for client in sorted(client for client in after if after[client] != before[client]):
            old, new = self.states_after_move(client, before[client], after[client])
            dtype = dtype_of(self._config)
            changes[client] = output_change(self._spec, old, new, dtype, seed=self._config.seed)
        return changes

    def _averaged(self, cluster: int | None) -> BlockStates:
        blocks = self.first_blocks(cluster)
        assert blocks is not None
        return blocks

    def _body(self, cluster: int | None) -> BlockStates:
        executor = self._executor
        if cluster is None or not executor.parted:
            return executor.common_body.states()
        return executor.bodies[cluster].states()

    def _generator_states(self, cluster: int, cut: Cut) -> BlockStates:
        states = self.model_states(cluster, cut)
        if self._settings.running_statistics == "averaged":
            return generator_in(states)
        return measured_generator(self._config, states)
