"""HuSCF-GAN as a Flower Strategy.

Flower moves a few messages per round; the split executor, in this process, moves activations and gradients
while the clients' `train` handlers run. The strategy opens a lock-step session in `configure_train`, and
clusters, weighs and averages what came back in `aggregate_train`. Its parts are objects: give another
clusterer, divergence, weighting or cut solver to change the method.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutSolver
from huscf_flwr.federation import Clusterer, Divergence, Weighting
from huscf_flwr.split.wire import ExecutorServer
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.cut_choice import choose_cuts, reselection_of
from huscf_flwr.training.display import Display
from huscf_flwr.training.files import flatten_blocks
from huscf_flwr.training.judging import Harness
from huscf_flwr.training.method import check_clusters, method_of, model_spec_of, population_of
from huscf_flwr.training.run import Run
from huscf_flwr.training.run_folder import RunFolder
from huscf_flwr.training.run_log import RunLog
from strategies.assembly import Assembly, addressed, assemble
from strategies.client_keys import write_client_keys
from strategies.collection import SessionHosts, collect, judgements
from strategies.log_display import SHOWN, LogDisplay
from strategies.messages import EVALUATE, TRAIN, EvaluateRequest, TrainRequest
from strategies.replies import answers
from strategies.session_grid import SessionGrid

_PATIENT = 2
"""How many deadlines of the first step a host waits for an answer: other hosts may need all of one."""


class HuSCF(Strategy):
    """Split, clustered, federated training of a conditional GAN.

    Parameters
    ----------
    config : RunConfig
        The whole run.
    clusterer, divergence, weighting : optional
        Take the place of the configured ones after each round.
    cut_solver : CutSolver, optional
        Takes the place of the configured one.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        clusterer: Clusterer | None = None,
        divergence: Divergence | None = None,
        weighting: Weighting | None = None,
        cut_solver: CutSolver | None = None,
        display: Display | None = None,
    ) -> None:
        self.config = config
        self.spec = model_spec_of(config)
        self.method = method_of(config, clusterer=clusterer, divergence=divergence, weighting=weighting)
        self._cut_solver = cut_solver
        self._display = display or LogDisplay()
        self.log = RunLog(config.name)
        """To be entered around the whole run."""
        self._server: ExecutorServer | None = None
        self._assembly: Assembly | None = None
        self._run: Run | None = None
        self._run_id = 0
        self._hosts: SessionHosts | None = None
        self._lost: frozenset[int] = frozenset()

    def prepare(self, grid: Grid) -> Grid:
        """Assemble the clients, choose their cuts and begin the run's folder.

        Returns the grid to hand to ``start``: it does not wait for hosts that the executor has given up.
        Raises ``AssemblyError``, or what the configuration is found wrong for.
        """
        config = self.config
        listening = config.executor
        self._server = ExecutorServer(
            listening.bind,
            advertise=listening.advertise,
            certificate=listening.certificate,
            key=listening.key,
            insecure=listening.insecure,
        )
        assembly = self._assembly = assemble(config, grid, self._server)
        devices = assembly.description.devices
        check_clusters(config, len(devices))
        harness = None if assembly.owners else Harness(config, population_of(config, self.spec))
        solution = choose_cuts(config, self.spec, devices, self._cut_solver)
        coordinator = Coordinator(
            config,
            self.spec,
            samples=assembly.description.samples,
            cuts=dict(zip(sorted(devices), solution.cuts, strict=True)),
            method=self.method,
            reselection=reselection_of(config, self.spec, devices, self._cut_solver),
        )
        self._run = Run(config, coordinator, RunFolder(config), self._display, harness, self.log)
        self._run.begin(solution, devices, assembly.virtual_clients)
        if assembly.keys:
            write_client_keys(config.folder, assembly.keys)
        self._run_id = grid.run.run_id
        return SessionGrid(grid, self)

    def initial_arrays(self) -> ArrayRecord:
        """Return the arrays to hand to ``start``: the generators of all clusters, as after a round."""
        return self._generators()

    @property
    def rounds_left(self) -> int:
        """Rounds still to do; fewer than configured after a resume."""
        return self._prepared().rounds_left

    def summary(self) -> None:
        """Log who trains what."""
        assembly = self._assembled()
        SHOWN.info("\t├──> Mode: %s, seed %s", self.config.mode, self.config.seed)
        for node, clients in assembly.clients.items():
            kind = "owns client" if node in assembly.owners else "hosts clients"
            SHOWN.info("\t├──> SuperNode %s %s %s", node, kind, ", ".join(map(str, clients)))
        SHOWN.info("\t└──> Run folder: %s", self._prepared().folder.path)

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,  # noqa: ARG002 - each cluster has its own
        config: ConfigRecord,  # noqa: ARG002 - a request has all that a client needs
        grid: Grid,
    ) -> Iterable[Message]:
        """Open the round's session; send each host its clients' cuts, blocks and a token."""
        run, assembly, server = self._prepared(), self._assembled(), self._listening()
        placement = assembly.placement(self._away(grid))
        deadlines = run.deadlines()
        session = run.open_round(list(placement.values()), deadlines)
        # The clients' streams begin in the first exchange, or never.
        lifetime = deadlines(None)
        self._hosts = SessionHosts(session, tuple(placement), lifetime)
        coordinator = run.coordinator
        requests = {
            node: TrainRequest(
                round=coordinator.round,
                attempt=run.attempt,
                steps=coordinator.steps,
                answer_seconds=_PATIENT * lifetime,
                address=server.address,
                token="",
                cuts={client: coordinator.cuts[client] for client in clients},
                clusters={client: coordinator.clusters[client] for client in clients},
                blocks=coordinator.blocks_for(clients),
                taken=coordinator.taken_by(clients),
                training=coordinator.training,
                kept={k: coordinator.kept_moments[k] for k in clients if k in coordinator.kept_moments},
                neighbours=len(placement.keys() - assembly.owners),
            )
            for node, clients in placement.items()
        }
        claims = [request.claim(self._run_id, node) for node, request in requests.items()]
        virtual = {place for place, node in enumerate(placement) if node not in assembly.owners}
        share_memory = virtual if self.config.executor.shared_memory else ()
        tokens = server.open_session(session, claims, lifetime=lifetime, share_memory=share_memory)
        contents = {
            node: replace(request, token=token).to_records()
            for (node, request), token in zip(requests.items(), tokens, strict=True)
        }
        return addressed(contents, TRAIN, group=str(server_round))

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002 - the coordinator counts rounds over resumed runs too
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Cluster the clients, weigh them, and average by cluster.

        Clients that dropped out, or whose reply is not valid, are left out. If too few are left the round is
        given up, and tried again by the next. Raises ``RoundFailedError`` with the reason if it must not be.
        """
        run, hosts = self._prepared(), self._hosts
        assert hosts is not None
        trained = collect(answers(replies), run, hosts)
        self._lost = self._lost_after(hosts)
        # Who dropped out of the round may well answer the next message.
        self._hosts = None
        if hosts.session.failure is not None or len(trained.blocks) < self.config.min_clients:
            run.give_up_round(hosts.session, f"{len(trained.blocks)} clients finished it")
            return None, None
        metrics = run.close_round(trained.blocks, trained.losses, trained.times, trained.kept)
        return self._generators(), _metric_record(metrics)

    def configure_evaluate(
        self,
        server_round: int,
        arrays: ArrayRecord,  # noqa: ARG002 - each cluster has its own
        config: ConfigRecord,  # noqa: ARG002 - a request has all that a client needs
        grid: Grid,
    ) -> Iterable[Message]:
        """After the last round, ask clients that own data and are there to judge their cluster's generator.

        In a simulation the harness judges, which knows the domains.
        """
        run, assembly = self._prepared(), self._assembled()
        if run.rounds_left:
            return []
        coordinator = run.coordinator
        away = self._away(grid)
        requests = {
            node: EvaluateRequest(
                client, coordinator.generator_states(coordinator.clusters[client])
            ).to_records()
            for node, (client, *_) in assembly.clients.items()
            if node in assembly.owners and node not in away
        }
        return addressed(requests, EVALUATE, group=str(server_round))

    def aggregate_evaluate(
        self,
        server_round: int,  # noqa: ARG002 - only the last round is judged
        replies: Iterable[Message],
    ) -> MetricRecord | None:
        """Average the clients' scores by cluster, weighted by their test samples.

        Scores of another's client, or that are none, are logged and left out.
        """
        judged = judgements(answers(replies), self._assembled().clients)
        if not judged:
            return None
        scores = self._prepared().record_client_scores(judged)
        return MetricRecord(
            {f"cluster-{cluster}.{name}": value for cluster, s in scores.items() for name, value in s.items()}
        )

    def finish(self) -> dict[str, Any]:
        """Judge thoroughly, write summary and report; return the summary."""
        return self._prepared().finish()

    def close(self) -> None:
        """Stop the executor."""
        if self._server is not None:
            self._server.stop()

    def gone(self) -> Collection[int]:
        """Return the SuperNodes that need not be waited for; see ``SessionWatch``."""
        return self._hosts.gone() if self._hosts is not None else ()

    def failed(self, node: int, reason: str) -> None:
        """Take note that the handler of a SuperNode failed; see ``SessionWatch``."""
        if self._hosts is not None:
            self._hosts.failed(node, reason)

    def _generators(self) -> ArrayRecord:
        coordinator = self._prepared().coordinator
        arrays = {}
        for cluster in sorted(coordinator.cluster_blocks):
            arrays.update(flatten_blocks(coordinator.generator_states(cluster), f"cluster-{cluster}."))
        return ArrayRecord({name: tensor.contiguous() for name, tensor in arrays.items()})

    def _away(self, grid: Grid) -> frozenset[int]:
        """Return who cannot take part: lost hosts for good, owners while Flower does not see them."""
        connected = set(grid.get_node_ids())
        return self._lost | {node for node in self._assembled().owners if node not in connected}

    def _lost_after(self, hosts: SessionHosts) -> frozenset[int]:
        """Return the hosts of virtual clients not to count on any more; if all are lost, none is."""
        virtual = self._assembled().clients.keys() - self._assembled().owners
        lost = self._lost | {node for node in virtual if node in hosts.without_clients()}
        return frozenset() if lost >= virtual else frozenset(lost)

    def _prepared(self) -> Run:
        if self._run is None:
            raise RuntimeError("call prepare(grid) before start(), and hand its grid to start()")
        return self._run

    def _assembled(self) -> Assembly:
        assert self._assembly is not None
        return self._assembly

    def _listening(self) -> ExecutorServer:
        assert self._server is not None
        return self._server


def _metric_record(metrics: dict[str, Any]) -> MetricRecord:
    return MetricRecord(
        {
            "discriminator-loss": metrics["losses"]["discriminator"],
            "generator-loss": metrics["losses"]["generator"],
            "clusters": len(set(metrics["clusters"])),
            "seconds": metrics["seconds"],
            "bytes-up": metrics["bytes"]["up"],
            "bytes-down": metrics["bytes"]["down"],
        }
    )
