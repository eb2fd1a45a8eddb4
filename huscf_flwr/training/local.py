"""The local engine: a whole run in one process, without Flower.

Hosts are threads that share the executor through local channels. One host is the fastest; more are there to
show that the number of hosts changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutSolver
from huscf_flwr.federation import ClusteredAveraging
from huscf_flwr.split import LocalChannel, LockStep, StepLosses, run_steps
from huscf_flwr.training.checkpoint import client_folder, load_moments, save_moments
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.cut_choice import choose_cuts, deal_devices
from huscf_flwr.training.display import Display, TerminalDisplay
from huscf_flwr.training.judging import Harness
from huscf_flwr.training.method import check_clusters, method_of, model_spec_of, population_of
from huscf_flwr.training.participant import Participant
from huscf_flwr.training.run import Run
from huscf_flwr.training.run_folder import RunFolder


def train_locally(
    config: RunConfig,
    *,
    hosts: int = 1,
    display: Display | None = None,
    method: ClusteredAveraging | None = None,
    cut_solver: CutSolver | None = None,
) -> dict[str, Any]:
    """Train, judge and write the run's folder; return the summary."""
    if config.compute.threads:
        torch.set_num_threads(config.compute.threads)
    display = display or TerminalDisplay()
    placement = spread(range(config.clients), hosts)
    check_clusters(config, config.clients)
    spec = model_spec_of(config)
    population = population_of(config, spec)
    devices = deal_devices(config)
    solution = choose_cuts(config, spec, devices, cut_solver)
    cuts = dict(enumerate(solution.cuts))
    participants = {
        client: Participant(client, population.images_of(client), config, spec, cut)
        for client, cut in cuts.items()
    }
    coordinator = Coordinator(
        config,
        spec,
        samples={client: len(part.indices) for client, part in enumerate(population.partitions)},
        cuts=cuts,
        method=method or method_of(config),
    )
    run = Run(config, coordinator, RunFolder(config), display, Harness(config, population))
    run.begin(solution, devices)
    if config.resume is not None:
        for client, member in participants.items():
            load_moments(member.split.segments, client_folder(config.folder), client, coordinator.round)
    while run.rounds_left:
        _train_round(run, participants, placement)
    return run.finish()


def spread(clients: Sequence[int], hosts: int) -> list[tuple[int, ...]]:
    """Deal ``clients`` to ``hosts`` in turn; raises ``ValueError`` if a host would have none."""
    if hosts > len(clients):
        raise ValueError(
            f"clients: {len(clients)} clients for {hosts} hosts; take more clients or fewer hosts"
        )
    return [tuple(clients[host::hosts]) for host in range(hosts)]


def _train_round(
    run: Run, participants: Mapping[int, Participant], placement: Sequence[Sequence[int]]
) -> None:
    coordinator = run.coordinator
    for cluster, blocks in coordinator.blocks_for(sorted(participants)).items():
        for client, participant in participants.items():
            if coordinator.clusters[client] == cluster:
                participant.split.segments.load(blocks)
    session = run.open_round(placement)
    with ThreadPoolExecutor(len(placement)) as pool:
        running = [
            pool.submit(_train_host, session, host, [participants[client] for client in clients], coordinator)
            for host, clients in enumerate(placement)
        ]
        try:
            done = wait(running).done
        except KeyboardInterrupt as interrupt:
            session.abort(interrupt)
            raise
    failed = [host.exception() for host in done if host.exception() is not None]
    if failed or not session.finished:
        run.fail(session, *failed[:1])
    losses = {client: value for host in running for client, value in host.result().items()}
    for client, member in participants.items():
        save_moments(member.split.segments, client_folder(run.folder.path), client, coordinator.round)
    trained = {client: member.split.segments.states() for client, member in participants.items()}
    run.close_round(trained, losses)


def _train_host(
    session: LockStep, host: int, members: Sequence[Participant], coordinator: Coordinator
) -> Mapping[int, StepLosses]:
    hosted = [member.begin_round(coordinator.round) for member in members]
    try:
        return run_steps(hosted, LocalChannel(session, host), coordinator.steps)
    except BaseException as error:
        session.abort(error)
        raise
