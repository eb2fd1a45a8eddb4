"""A Flower Strategy that drives any method.

Flower moves a few messages per round. For a lock-step method, the executor, in this process, besides moves
activations and gradients while the clients' `train` handlers run: the strategy opens a session for it in
`configure_train`. What came back is the method's to take in, in `aggregate_train`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from huscf_flwr.config import RunConfig
from huscf_flwr.data import following_data, networks_told
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.evaluation.judging import Judging
from huscf_flwr.flower.assembly import (
    NODES_SECONDS,
    Assembly,
    AssemblyError,
    addressed,
    assemble,
    with_descriptions,
)
from huscf_flwr.flower.client_keys import write_client_keys
from huscf_flwr.flower.collection import EvaluatingHosts, RoundHosts, collect, judgements
from huscf_flwr.flower.log_display import SHOWN, LogDisplay
from huscf_flwr.flower.messages import EVALUATE, TRAIN, EvaluateRequest, Stream, TrainRequest
from huscf_flwr.flower.messages.records import tensors_record
from huscf_flwr.flower.replies import answers
from huscf_flwr.flower.server_images import images_of_simulation
from huscf_flwr.flower.session_grid import SessionGrid
from huscf_flwr.flower.streams import listen, open_streams
from huscf_flwr.flower.told_lines import tell_launcher
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import MakeMethod, Method, Tensors
from huscf_flwr.models import AUTO
from huscf_flwr.run.check import as_begun, check_place, check_settings, is_lock_step
from huscf_flwr.run.checkpoint import checkpoint_of
from huscf_flwr.run.display import Display
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.origin import images_hash
from huscf_flwr.run.run import Run
from huscf_flwr.run.run_log import RunLog
from huscf_flwr.run.wire_choice import chosen_wire
from huscf_flwr.session.wire import ExecutorServer

_LOOK_AGAIN_SECONDS = 1.0


class MethodStrategy(Strategy):
    """Federated training with any method.

    Parameters
    ----------
    config : RunConfig
        The whole run; ``method`` names what the clients run.
    make_method : optional (default: the class that ``method`` names)
        Makes the server's half; an instance of the class that ``method`` names, or of one derived from it.
    display : Display, optional (default: Flower's log)
        Told how the run goes.
    """

    method_name: ClassVar[str] = ""
    """The only method that a subclass is for; empty if it is for any."""

    def __init__(
        self, config: RunConfig, make_method: MakeMethod | None = None, *, display: Display | None = None
    ) -> None:
        if self.method_name and config.method != self.method_name:
            raise ValueError(
                f"method: {config.method}, but this strategy is that of {self.method_name}; set method to "
                f"{self.method_name}, or take another strategy"
            )
        self.config = resolved(config)
        self.method = method_of(self.config)
        self.log = RunLog(config.name)
        """To be entered around the whole run."""
        self._make_method: MakeMethod = make_method or self.method
        self._display = display or LogDisplay()
        self._server: ExecutorServer | None = None
        self._assembly: Assembly | None = None
        self._run: Run | None = None
        self._run_id = 0
        self._hosts: RoundHosts | EvaluatingHosts | None = None
        """Of the messages that are under way."""
        self._lost: frozenset[int] = frozenset()
        self._held = ExitStack()
        """The run's folder, until ``close``."""

    def prepare(self, grid: Grid) -> Grid:
        """Assemble the clients, make the method and begin the run's folder.

        A run that is resumed may have died after a round, and before clients had evaluated anything: they do
        so now. Returns the grid to hand to ``start``: it does not wait for hosts that have been given up.
        Raises ``AssemblyError``, what the configuration is found wrong for, or
        ``FolderInUseError`` if another process writes into the run's folder. Call ``close`` at the end.
        """
        with progress_told(Paced(self._tell)):
            return self._prepared_for(grid)

    def _prepared_for(self, grid: Grid) -> Grid:
        check_place(self.config)
        begun = checkpoint_of(self.config)
        said = as_begun(self.config, begun.state.settings if begun else None)
        # Families that are named have the classes of the images only if no SuperNode owns some.
        config = self.config = following_data(said) if said.model.spec == AUTO else said
        if config is not said:
            self._tell(networks_told(config))
        checkpoint = check_settings(config, self.method, begun)
        if checkpoint is not None:  # whatever clients hold: nobody should be waited for in vain
            checkpoint.check_rounds(config)
        if is_lock_step(self.method):
            self._server = listen(config)
        self._held.enter_context(held(config.folder))
        gathered = assemble(said, self.method, grid, self._server)
        # What is wrong with a simulation's images is found here, in one line, before clients load them.
        config, population = images_of_simulation(config, self.method, gathered)
        assembly = self._assembly = with_descriptions(gathered, self.method, grid, config.min_hosts)
        devices = {client: each.device for client, each in assembly.descriptions.items()}
        before = None if checkpoint is None else checkpoint.preset
        config, wire = chosen_wire(config, self.method, devices, before)
        self.config = config
        method = self._make_method(config, assembly.descriptions)
        if not isinstance(method, self.method):
            raise TypeError(
                f"method: {config.method}, but the strategy makes a {type(method).__name__}, not a "
                f"{self.method.__name__}: clients would run another method than the server"
            )
        judging = images = None
        if population is not None:
            judging = Judging(config, population, self._tell)
            images = images_hash(population)
        self._run = Run(
            config,
            method,
            display=self._display,
            log=self.log,
            judging=judging,
            images=images,
            wire=wire,
        )
        self._run.begin(assembly.virtual_clients, checkpoint)
        if assembly.keys:
            write_client_keys(config.folder, assembly.keys)
        self._run_id = grid.run.run_id
        session_grid = SessionGrid(grid, self)
        if self._run.evaluation_due or not self._run.rounds_left:
            messages = self.configure_evaluate(0, ArrayRecord(), ConfigRecord(), session_grid)
            self.aggregate_evaluate(0, session_grid.send_and_receive(messages))
        return session_grid

    def initial_arrays(self) -> ArrayRecord:
        """Return the arrays to hand to ``start``: all products of the method, as after a round."""
        return self._products()

    @property
    def rounds_left(self) -> int:
        """Rounds still to do; fewer than configured after a resume."""
        return self._prepared().rounds_left

    def summary(self) -> None:
        """Log who trains what."""
        assembly, config = self._assembled(), self.config
        SHOWN.info("\t├──> Method: %s, mode %s, seed %s", config.method, config.mode, config.seed)
        for node, clients in assembly.clients.items():
            kind = "owns client" if node in assembly.owners else "hosts clients"
            SHOWN.info("\t├──> SuperNode %s %s %s", node, kind, ", ".join(map(str, clients)))
        SHOWN.info("\t└──> Run folder: %s", config.folder)

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,  # noqa: ARG002 - the method has what each client is told
        config: ConfigRecord,  # noqa: ARG002 - a request has all that a client needs
        grid: Grid,
    ) -> Iterable[Message]:
        """Open the round; send each host its clients' orders, and where the executor is if they need it."""
        assembly, away = self._assembled(), self._away_once_enough_are_there(grid)
        placement = assembly.placement(away, self._prepared().select(assembly.available(away)))
        nodes = list(placement)
        streams = self._open_round(placement)
        opened = self._round_hosts().opened
        neighbours = len(placement.keys() - assembly.owners)
        contents = {
            node: TrainRequest(opened.assignment(host), neighbours, streams[host]).to_records(self.method)
            for host, node in enumerate(nodes)
        }
        return addressed(contents, TRAIN, str(server_round), self.config.round_seconds)

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002 - the run counts rounds over resumed runs too
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the method take in what the clients sent.

        Clients that dropped out, or whose reply is not valid, are left out. If too few are left the round is
        given up, and tried again by the next. Raises ``RoundFailedError`` with the reason if it must not be.
        """
        run, hosts = self._prepared(), self._round_hosts()
        uploads = collect(answers(replies), run, hosts)
        # Who dropped out of the round may well answer the next message.
        self._hosts = None
        try:
            with progress_told(Paced(self._tell)):
                metrics = run.end_round(uploads, may_retry=True)
        finally:
            self._lost = self._lost_after(hosts)
        return (None, None) if metrics is None else (self._products(), _metric_record(metrics, run.method))

    def configure_evaluate(
        self,
        server_round: int,
        arrays: ArrayRecord,  # noqa: ARG002 - each client has a product of its own
        config: ConfigRecord,  # noqa: ARG002 - a request has all that a client needs
        grid: Grid,
    ) -> Iterable[Message]:
        """Ask clients to evaluate models of their own, and at the end owners of data to judge their product.

        In a simulation the run itself judges products, since it knows the domains.
        """
        away = self._away(grid)
        asked: dict[int, tuple[int, ...]] = {}
        run, assembly = self._prepared(), self._assembled()
        if run.evaluation_due:
            asked = assembly.placement(away, run.select_for_evaluation(assembly.available(away)))
        products = self._products_to_judge(away)
        neighbours = len(asked.keys() - assembly.owners)
        requests = {
            node: EvaluateRequest(
                run.evaluation_order(asked.get(node, ())), neighbours, *products.get(node, (None, {}))
            )
            for node in assembly.clients
            if node in asked or node in products
        }
        seconds = self.config.evaluation.seconds
        self._hosts = EvaluatingHosts(requests, seconds=seconds)
        contents = {node: request.to_records(self.method) for node, request in requests.items()}
        return addressed(contents, EVALUATE, str(server_round), seconds)

    def aggregate_evaluate(
        self,
        server_round: int,  # noqa: ARG002 - the run counts rounds over resumed runs too
        replies: Iterable[Message],
    ) -> MetricRecord | None:
        """Average what clients found: of products weighted by their test samples, of own models unweighted.

        Scores that the SuperNode was not asked for, or that are not numbers, are logged and left out.
        """
        assert isinstance(self._hosts, EvaluatingHosts)
        found = judgements(answers(replies), self._hosts.asked, self.method)
        self._hosts = None
        run, numbers = self._prepared(), {}
        if run.evaluation_due and (found.own or found.drop_outs):
            scores = run.close_evaluation(found.own, found.drop_outs)["scores"]
            numbers = {
                f"{on}.{name}.{statistic}": value
                for on, spreads in scores.items()
                for name, spread in spreads.items()
                for statistic, value in spread.items()
            }
        if found.products:
            for product, means in run.record_client_scores(found.products).items():
                numbers |= {f"{product}.{name}": value for name, value in means.items()}
        return MetricRecord(numbers) if numbers else None

    def finish(self) -> dict[str, Any]:
        """Judge thoroughly, write summary and report; return the summary."""
        with progress_told(Paced(self._tell)):
            return self._prepared().finish()

    def close(self) -> None:
        """Stop the executor, if there is one, and leave the run's folder to others."""
        self._held.close()
        if self._server is not None:
            self._server.stop()

    def gone(self) -> Collection[int]:
        """Return the SuperNodes that need not be waited for; see ``SessionWatch``."""
        return self._hosts.gone() if self._hosts is not None else ()

    def replied(self, node: int) -> None:
        """Take note that a SuperNode has replied; see ``SessionWatch``."""
        if self._hosts is not None:
            self._hosts.replied(node)

    def failed(self, node: int, reason: str) -> None:
        """Take note that the handler of a SuperNode failed; see ``SessionWatch``."""
        if self._hosts is not None:
            self._hosts.failed(node, reason)

    def _tell(self, text: str) -> None:
        """Show a line, here and where the run was launched."""
        self._display.note(text)
        tell_launcher(self.config, text)

    def _open_round(self, placement: Mapping[int, tuple[int, ...]]) -> list[Stream | None]:
        """Open the next round; return how each host comes to the executor, if there is one."""
        run, nodes, clients = self._prepared(), list(placement), list(placement.values())
        if self._server is None:
            self._hosts = RoundHosts(run.open_round(clients), nodes, round_seconds=self.config.round_seconds)
            return [None] * len(nodes)
        deadlines = run.deadlines()
        opened = run.open_round(clients, deadlines)
        # The clients' streams begin in the first exchange, or never.
        lifetime = deadlines(None)
        self._hosts = RoundHosts(opened, nodes, reply_seconds=lifetime)
        virtual = placement.keys() - self._assembled().owners
        share_memory = virtual if self.config.executor.shared_memory else ()
        return [
            *open_streams(
                self._server,
                opened,
                nodes,
                run_id=self._run_id,
                lifetime=lifetime,
                share_memory=share_memory,
                preset=self.config.wire.chosen,
            )
        ]

    def _products_to_judge(self, away: Collection[int]) -> dict[int, tuple[int, Tensors]]:
        """Return the client and the product that it judges, by node id: at the end, for owners of data."""
        run, assembly = self._prepared(), self._assembled()
        if run.rounds_left or not self.method.crossing.product_kind:
            return {}
        product_of = {k: each for each in reversed(run.method.products()) for k in each.clients}
        return {
            node: (client, product_of[client].tensors)
            for node, (client, *_) in assembly.clients.items()
            if node in assembly.owners and node not in away and client in product_of
        }

    def _products(self) -> ArrayRecord:
        products = self._prepared().method.products()
        return tensors_record(
            {f"{each.name}.{name}": value for each in products for name, value in each.tensors.items()}
        )

    def _away(self, grid: Grid) -> frozenset[int]:
        """Return who cannot take part: lost hosts for good, owners while Flower does not see them."""
        connected = set(grid.get_node_ids())
        return self._lost | {node for node in self._assembled().owners if node not in connected}

    def _away_once_enough_are_there(self, grid: Grid) -> frozenset[int]:
        """Return who cannot take part, as soon as enough can; raises ``AssemblyError`` if too few come."""
        deadline, least = time.monotonic() + NODES_SECONDS, self.config.min_clients
        while (count := len(self._assembled().available(away := self._away(grid)))) < least:
            if time.monotonic() > deadline:
                raise AssemblyError(
                    f"min_clients: {least}, but {count} clients can be reached after {NODES_SECONDS:g} s; "
                    "start the SuperNodes of others, and go on with resume"
                )
            time.sleep(_LOOK_AGAIN_SECONDS)
        return away

    def _lost_after(self, hosts: RoundHosts) -> frozenset[int]:
        """Return the hosts of virtual clients not to count on any more; if all are lost, none is."""
        virtual = self._assembled().clients.keys() - self._assembled().owners
        lost = self._lost | {node for node in virtual if node in hosts.lost()}
        return frozenset() if lost >= virtual else frozenset(lost)

    def _prepared(self) -> Run:
        if self._run is None:
            raise RuntimeError("call prepare(grid) before start(), and hand its grid to start()")
        return self._run

    def _assembled(self) -> Assembly:
        assert self._assembly is not None
        return self._assembly

    def _round_hosts(self) -> RoundHosts:
        assert isinstance(self._hosts, RoundHosts)
        return self._hosts


def _metric_record(metrics: Mapping[str, Any], method: Method) -> MetricRecord:
    clusters = method.clusters()
    return MetricRecord(
        {
            **{f"{name}-loss": value for name, value in metrics["losses"].items()},
            **({"clusters": len(set(clusters.values()))} if clusters else {}),
            "seconds": metrics["seconds"],
            "bytes-up": sum(metrics["bytes"]["up"].values()),
            "bytes-down": sum(metrics["bytes"]["down"].values()),
        }
    )
