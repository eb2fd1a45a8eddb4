"""The local engine: a whole run in one process, without Flower.

Hosts are threads that share the executor through local channels. One host is the fastest; more are there to
show that the number of hosts changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutSolver
from huscf_flwr.data import Population
from huscf_flwr.federation import ClusteredAveraging
from huscf_flwr.process import prepare_process
from huscf_flwr.split import HostTimer, LocalChannel, LockStep, TrainedSteps, run_steps
from huscf_flwr.training.checkpoint import client_folder
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.cut_choice import choose_cuts, deal_devices, reselection_of
from huscf_flwr.training.display import Display, TerminalDisplay
from huscf_flwr.training.host_timer import TimerFactory, host_timer
from huscf_flwr.training.interruption import InterruptedRunError, StopRequest
from huscf_flwr.training.judging import Harness
from huscf_flwr.training.method import check_clusters, method_of, model_spec_of, population_of
from huscf_flwr.training.moments import load_moments, save_moments
from huscf_flwr.training.participant import Participant
from huscf_flwr.training.run import Run
from huscf_flwr.training.run_folder import RunFolder
from huscf_flwr.training.run_log import RunLog
from huscf_flwr.training.taken_blocks import TakenBlocks, begin_round

_STOP_POLL_SECONDS = 0.2


def train_locally(
    config: RunConfig,
    *,
    hosts: int = 1,
    display: Display | None = None,
    method: ClusteredAveraging | None = None,
    cut_solver: CutSolver | None = None,
    make_timer: TimerFactory | None = None,
    population: Population | None = None,
    judged: bool = True,
    stop: StopRequest | None = None,
) -> dict[str, Any]:
    """Train, judge and write the run's folder; return the summary.

    ``make_timer`` makes the timer of a host from the number of a round and the host's clients, where that is
    not to be the configured one; ``population`` is that of ``config``, if it is already loaded; without being
    ``judged`` a run is not scored. Raises ``InterruptedRunError`` after the step in which ``stop`` is asked
    for.
    """
    prepare_process(config.compute)
    with RunLog(config.name) as log:
        placement = spread(range(config.clients), hosts)
        check_clusters(config, config.clients)
        spec = model_spec_of(config)
        population = population or population_of(config, spec)
        devices = deal_devices(config)
        solution = choose_cuts(config, spec, devices, cut_solver)
        coordinator = Coordinator(
            config,
            spec,
            samples={client: len(part.indices) for client, part in enumerate(population.partitions)},
            cuts=dict(enumerate(solution.cuts)),
            method=method or method_of(config),
            reselection=reselection_of(config, spec, devices, cut_solver),
        )
        harness = Harness(config, population) if judged else None
        run = Run(config, coordinator, RunFolder(config), display or TerminalDisplay(), harness, log)
        run.begin(solution, devices, virtual=range(config.clients))
        _train_rounds(
            run,
            population,
            placement,
            make_timer or (lambda _, clients: host_timer(config, spec, {k: devices[k] for k in clients})),
            stop or StopRequest(),
        )
        return run.finish()


def spread(clients: Sequence[int], hosts: int) -> list[tuple[int, ...]]:
    """Deal ``clients`` to ``hosts`` in turn; raises ``ValueError`` if a host would have none."""
    if hosts > len(clients):
        raise ValueError(
            f"clients: {len(clients)} clients for {hosts} hosts; take more clients or fewer hosts"
        )
    return [tuple(clients[host::hosts]) for host in range(hosts)]


def _train_rounds(
    run: Run,
    population: Population,
    placement: Sequence[Sequence[int]],
    make_timer: TimerFactory,
    stop: StopRequest,
) -> None:
    config, coordinator = run.config, run.coordinator

    def participant(client: int) -> Participant:
        images, cut = population.images_of(client), coordinator.cuts[client]
        member = Participant(client, images, config, coordinator.spec, cut)
        kept = coordinator.kept_moments.get(client)
        load_moments(member.split.segments, client_folder(run.folder.path), client, kept)
        return member

    participants = {client: participant(client) for client in range(config.clients)}
    dropped: Collection[int] = ()
    while run.rounds_left:
        if stop.cause is not None:
            raise InterruptedRunError(stop.cause, None, run.folder.path)
        for client, member in participants.items():
            if client in dropped or member.split.cut != coordinator.cuts[client]:
                participants[client] = participant(client)
        dropped = _train_round(run, participants, placement, make_timer, stop)


def _train_round(
    run: Run,
    participants: Mapping[int, Participant],
    placement: Sequence[Sequence[int]],
    make_timer: TimerFactory,
    stop: StopRequest,
) -> Collection[int]:
    """Train and close a round; return the clients that dropped out of it."""
    coordinator = run.coordinator
    blocks = coordinator.blocks_for(sorted(participants))
    taken = coordinator.taken_by(sorted(participants))
    for client, member in participants.items():
        own = blocks.get(coordinator.clusters[client])
        begin_round(member.split.segments, own, taken.get(client, TakenBlocks()))
    timers = [make_timer(coordinator.round + 1, clients) for clients in placement]
    session = run.open_round(placement)
    with ThreadPoolExecutor(len(placement)) as pool:
        running = [
            pool.submit(
                _train_host, session, host, [participants[k] for k in clients], coordinator, timers[host]
            )
            for host, clients in enumerate(placement)
        ]
        try:
            while wait(running, _STOP_POLL_SECONDS).not_done:
                if stop.cause is not None:
                    session.stop(InterruptedRunError(stop.cause, coordinator.round, run.folder.path))
        except KeyboardInterrupt as interrupt:
            session.abort(interrupt)
            raise
    if isinstance(session.failure, InterruptedRunError):
        raise session.failure
    failed = [host.exception() for host in running if host.exception() is not None]
    if failed or not session.finished:
        run.fail(session, *failed[:1])
    losses = {client: value for host in running for client, value in host.result().losses.items()}
    kept = {
        client: save_moments(
            participants[client].split.segments,
            client_folder(run.folder.path),
            client,
            coordinator.round,
            before=coordinator.kept_moments.get(client),
            keep_last=run.config.checkpoint.keep_last,
        )
        for client in losses
    }
    trained = {client: participants[client].split.segments.states() for client in losses}
    times = {client: value for timer in timers for client, value in timer.times().items() if client in losses}
    run.close_round(trained, losses, times, kept)
    return session.dropped.keys()


def _train_host(
    session: LockStep,
    host: int,
    members: Sequence[Participant],
    coordinator: Coordinator,
    timer: HostTimer,
) -> TrainedSteps:
    try:
        hosted = [member.begin_round(coordinator.round) for member in members]
        return run_steps(hosted, LocalChannel(session, host), coordinator.steps, timer)
    except BaseException as error:
        session.abort(error)
        raise
