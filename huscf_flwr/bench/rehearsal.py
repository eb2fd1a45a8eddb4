"""Predicted against measured: steps of the real split engine with emulated devices.

Everything is as in a run, the executor, the lock-step, the clients, their frames, but for the images, which
are noise: what a step takes does not depend on them. Each client takes as long as its device would; see
``huscf_flwr.session.emulation``. The server is this machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from huscf_flwr.bench.mixed_cuts import extreme_cuts
from huscf_flwr.config import WirePreset
from huscf_flwr.cuts.block_times import timed_costs
from huscf_flwr.cuts.measure import measure_packing, measure_speed
from huscf_flwr.cuts.problem import CutProblem
from huscf_flwr.cuts.solvers import ExactSolver
from huscf_flwr.models import Cut
from huscf_flwr.run.host_timer import emulated
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import (
    EmulatedTimer,
    Ledger,
    LocalChannel,
    LockStep,
    run_steps,
    wire_type,
)
from huscf_flwr.split import HostedClient, SplitClient, SplitExecutor, noise_batch

_WARM_UP_STEPS = 1
_PASSES = 3


@dataclass(frozen=True)
class RehearsedStep:
    """A step of one assignment."""

    name: str
    counted_s: float
    """Predicted by counting operations, each as fast as those of the whole model."""
    predicted_s: float
    """Predicted with every block as fast as it is on this machine."""
    measured_s: float
    """Median of the steps."""

    @property
    def error(self) -> float:
        """How much longer, as a share of the measured time, the step was predicted to be."""
        return self.predicted_s / self.measured_s - 1


def varied_assignments(problem: CutProblem) -> dict[str, tuple[Cut, ...]]:
    """Return assignments that differ in all four parts of a cut, and the optimum by counted operations.

    Raises ``NoLegalCutError`` if the limits of a device leave it no cut.
    """
    everywhere = extreme_cuts(problem.spec)
    best = ExactSolver().solve(problem, seed=0).cuts
    return {"optimum": best, **{name: (cut,) * len(best) for name, cut in everywhere.items()}}


def rehearse(
    problem: CutProblem,
    assignments: Mapping[str, Sequence[Cut]],
    *,
    steps: int,
    preset: WirePreset = "exact",
) -> tuple[RehearsedStep, ...]:
    """Predict and measure a step of ``problem`` with each of the assignments, one cut for every client.

    The server of the problem gives its link only: its speed is that of this machine, as measured. Everything
    runs on one thread: how long a second one takes to join in varies, and would be stretched. Numbers cross
    by ``preset``, as ``problem.sent`` has it.
    """
    with _one_thread():
        return _rehearse(problem, assignments, steps, preset)


def _rehearse(
    problem: CutProblem, assignments: Mapping[str, Sequence[Cut]], steps: int, preset: WirePreset
) -> tuple[RehearsedStep, ...]:
    gflops = measure_speed(problem.spec, batch_size=problem.batch_size, rule=problem.flops).model_gflops
    # Whatever a client is waited for, what it packs is really packed here too, at both ends.
    speed_here = {"gflops": gflops, "packing_ns": 2 * measure_packing()}
    here = replace(problem, server=problem.server.model_copy(update=speed_here))
    predicted: dict[str, list[float]] = {name: [] for name in assignments}
    measured: dict[str, list[float]] = {name: [] for name in assignments}
    for _ in range(_PASSES):
        for name, cuts in assignments.items():
            # Machines are not equally fast at all times: blocks are timed beside the steps that they predict.
            costs = timed_costs(problem.spec, problem.batch_size, here.costs, gflops)
            predicted[name].append(replace(here, timed=costs).latency(cuts))
            timed = measured_step_seconds(here, cuts, gflops, math.ceil(steps / _PASSES), preset)
            measured[name].append(timed)
    return tuple(
        RehearsedStep(
            name, here.latency(cuts), statistics.median(predicted[name]), statistics.median(measured[name])
        )
        for name, cuts in assignments.items()
    )


def measured_step_seconds(
    problem: CutProblem, cuts: Sequence[Cut], gflops_here: float, steps: int, preset: WirePreset = "exact"
) -> float:
    """Return the median seconds of a step with emulated devices, on a machine with ``gflops_here``."""
    clients = range(len(cuts))
    executor = SplitExecutor(problem.spec, dict(enumerate(cuts)), seed=0)
    wire, steps_taken = wire_type(preset), _WARM_UP_STEPS + steps
    session = LockStep(executor, [list(clients)], ledger=Ledger(), steps=steps_taken, wire=wire)
    members = [
        _hosted(SplitClient(client, problem.spec, cuts[client], seed=0), problem.batch_size)
        for client in clients
    ]
    profiles = dict(enumerate(problem.devices))
    devices = emulated(profiles, problem.server, gflops_here, problem.sent.packing)
    run_steps(members, LocalChannel(session), steps_taken, EmulatedTimer(devices, wire=wire))
    return statistics.median(session.step_seconds[_WARM_UP_STEPS:])


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _hosted(client: SplitClient, batch_size: int) -> HostedClient:
    batch = noise_batch(client.spec, batch_size, torch_stream(0, "rehearsal", client.client))
    return HostedClient(client, lambda: batch)
