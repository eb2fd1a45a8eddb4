"""The local engine: a whole run in one process, without Flower.

Hosts are threads. One host is the fastest; more are there to show that the number of hosts changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import Device, deal_devices
from huscf_flwr.data import Population
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.evaluation.judging import Judging
from huscf_flwr.evaluation.own_models import OwnScores
from huscf_flwr.methods.contract import Client, MakeMethod
from huscf_flwr.process import prepare_process
from huscf_flwr.run.check import CheckedRun, check_run
from huscf_flwr.run.checkpoint import client_folder
from huscf_flwr.run.display import Display, TerminalDisplay
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.host import Host, HostedRound, OpenClient
from huscf_flwr.run.host_timer import TimerFactory, host_timer
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest, ending_when_asked
from huscf_flwr.run.placement import spread
from huscf_flwr.run.rounds import OpenRound
from huscf_flwr.run.run import Run
from huscf_flwr.run.run_log import RunLog
from huscf_flwr.run.transcript import TranscriptRecorder
from huscf_flwr.session import HostTimer, LocalChannel, LockStep, MessageSession, SessionError

_STOP_POLL_SECONDS = 0.2


def train_locally(
    run: RunConfig | CheckedRun,
    *,
    hosts: int = 1,
    display: Display | None = None,
    make_method: MakeMethod | None = None,
    make_timer: TimerFactory | None = None,
    judged: bool = True,
    stop: StopRequest | None = None,
    recorder: TranscriptRecorder | None = None,
) -> dict[str, Any]:
    """Train, judge and write the run's folder; return the summary.

    ``make_method`` makes the server's half of the method where that is not to be the configured one alone;
    ``make_timer`` the timer of a host from the number of a round and the host's clients; without being
    ``judged`` a run is not scored; ``recorder`` sees all that crosses. Shows which networks ``model.spec:
    auto`` took. Raises ``InterruptedRunError`` after the step in which ``stop`` is asked for, be it one of
    the judges' or of the last judging, and ``FolderInUseError`` if another process writes into the folder.
    """
    shown, stop = display or TerminalDisplay(), stop or StopRequest()
    progress = Paced(shown.note)
    with progress_told(progress):
        checked = check_run(run, hosts) if isinstance(run, RunConfig) else run
        if checked.networks is not None:
            shown.note(checked.networks)
        config, population = checked.config, checked.population
        prepare_process(config.compute)
        with RunLog(config.name) as log, held(config.folder):
            clients = range(len(population.partitions))
            devices = deal_devices(config)
            open_client = _opener(checked, devices)
            descriptions = {client: open_client(client).describe() for client in clients}
            checked.method.crossing.check_descriptions(descriptions)
            method = (make_method or checked.method)(config, descriptions)
            with ending_when_asked(stop, progress, None):
                judging = Judging(config, population, shown.note) if judged else None
            going = Run(
                config,
                method,
                display=shown,
                log=log,
                judging=judging,
                images=checked.images,
                wire=checked.wire,
            )
            going.begin(clients, checked.checkpoint)
            make_timer = make_timer or (
                lambda _, clients: host_timer(config, {client: devices[client] for client in clients})
            )
            folder = client_folder(going.folder.path)
            engine = LocalEngine(
                going,
                [Host(config, checked.method, open_client, folder) for _ in range(hosts)],
                population,
                make_timer,
                stop,
                recorder,
            )
            engine.train()
            with ending_when_asked(stop, progress, going.folder.path):
                return going.finish()


class LocalEngine:
    """The hosts of a run in this process, to which each round's clients are dealt."""

    def __init__(
        self,
        run: Run,
        hosts: Sequence[Host],
        population: Population,
        make_timer: TimerFactory,
        stop: StopRequest,
        recorder: TranscriptRecorder | None = None,
    ) -> None:
        """Train the clients of ``population`` on ``hosts``."""
        self._run = run
        self._hosts = hosts
        self._population = population
        self._make_timer = make_timer
        self._stop = stop
        self._recorder = recorder

    def train(self) -> None:
        """Train all rounds that are left, and let clients evaluate their models whenever that is due."""
        # A run that is resumed may have died after a round, and before its evaluation.
        if self._run.evaluation_due:
            self.evaluate()
        while self._run.rounds_left:
            self.train_round()
            if self._run.evaluation_due:
                self.evaluate()

    def train_round(self) -> None:
        """Train and close a round."""
        self._end_if_stopped()
        # Timers may measure this machine, which nobody should wait for within the round.
        number = self._run.rounds.number + 1
        placement = self._dealt(self._run.select(range(len(self._population.partitions))))
        timers = [self._make_timer(number, clients) for clients in placement]
        opened = self._run.open_round(placement)
        if self._recorder is not None:
            self._recorder.begin(opened)
        with ThreadPoolExecutor(len(placement)) as pool, _aborted(opened):
            running = [
                pool.submit(self._train_host, opened, host, timer) for host, timer in enumerate(timers)
            ]
            self._wait_for(running, opened)
        hosted = self._ended(running, opened)
        for host in hosted:
            # In lock-step, the session does not know of those that a host found broken after the last step.
            for client, drop_out in host.drop_outs.items():
                opened.session.drop(client, drop_out.reason)
        uploads = {client: upload for host in hosted for client, upload in host.uploads.items()}
        if self._recorder is not None:
            self._recorder.end(self._run.rounds.readable(uploads)[0])
        # Trained again, it would come out the same.
        self._run.end_round(uploads, may_retry=False)

    def evaluate(self) -> dict[str, Any]:
        """Let clients evaluate models of their own; return what is known then."""
        run, cache = self._run, self._run.config.data.cache
        placement = self._dealt(run.select_for_evaluation(range(len(self._population.partitions))))
        scores: dict[int, OwnScores] = {}
        drop_outs: dict[int, str] = {}
        for host, clients in zip(self._hosts, placement, strict=False):
            order = run.evaluation_order(clients)
            found = host.evaluate(order, self._population.data_of, cache, self._end_if_stopped)
            scores |= found.scores
            drop_outs |= {client: drop_out.reason for client, drop_out in found.drop_outs.items()}
        return run.close_evaluation(scores, drop_outs)

    def _dealt(self, clients: Sequence[int]) -> list[tuple[int, ...]]:
        return spread(clients, min(len(self._hosts), len(clients)))

    def _end_if_stopped(self) -> None:
        if self._stop.cause is not None:
            raise InterruptedRunError(self._stop.cause, None, self._run.folder.path)

    def _wait_for(self, running: Sequence[Future[HostedRound]], opened: OpenRound) -> None:
        while wait(running, _STOP_POLL_SECONDS).not_done:
            if self._stop.cause is not None:
                cause, folder = self._stop.cause, self._run.folder.path
                opened.session.stop(InterruptedRunError(cause, opened.number, folder))

    def _ended(self, running: Sequence[Future[HostedRound]], opened: OpenRound) -> list[HostedRound]:
        session = opened.session
        errors = [host.exception() for host in running if host.exception() is not None]
        for error in (session.failure, *errors):
            if isinstance(error, InterruptedRunError):
                raise error
        if errors or session.failure is not None or not session.finished:
            self._run.fail(opened, *errors[:1])
        return [host.result() for host in running]

    def _train_host(self, opened: OpenRound, host: int, timer: HostTimer) -> HostedRound:
        session = opened.session
        try:
            if isinstance(session, LockStep):
                tap = None if self._recorder is None else self._recorder.crossed
                channel = LocalChannel(session, host, tap)
                return self._hosts[host].train(opened.assignment(host), channel, timer)
            return self._train_alone(opened, session, host, timer)
        except BaseException as error:
            session.abort(error)
            raise

    def _train_alone(
        self, opened: OpenRound, session: MessageSession, host: int, timer: HostTimer
    ) -> HostedRound:
        def after_batch() -> None:
            if session.stopped is not None:
                raise session.stopped
            if session.failure is not None:
                raise SessionError("the round has failed") from session.failure

        hosted = self._hosts[host].train(
            opened.assignment(host), None, timer, after_batch, after_client=session.done
        )
        for client, drop_out in hosted.drop_outs.items():
            session.drop(client, drop_out.reason)
        return hosted


@contextmanager
def _aborted(opened: OpenRound) -> Iterator[None]:
    """End the round for all hosts if the block is interrupted: they are waited for after it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        opened.session.abort(interrupt)
        raise


def _opener(checked: CheckedRun, devices: Mapping[int, Device]) -> OpenClient:
    population: Population = checked.population

    def open_client(client: int) -> Client:
        images = population.images_of(client)
        return checked.method.client(client, images, devices[client], checked.config)

    return open_client
