"""How much of each network every client keeps, chosen from its device's speed and link."""

from __future__ import annotations

from collections.abc import Sequence

from huscf_flwr.cuts.beliefs import Beliefs, StepTimes
from huscf_flwr.cuts.costs import FLOP_RULES, FlopRule
from huscf_flwr.cuts.devices import Device, DeviceFile, Server, deal, load_devices
from huscf_flwr.cuts.latency import LatencyModel, LatencyOptions
from huscf_flwr.cuts.limits import NoLegalCutError
from huscf_flwr.cuts.problem import CutProblem, CutSolver, Solution
from huscf_flwr.cuts.reselection import Reselection, reselect
from huscf_flwr.cuts.solvers import (
    SOLVERS,
    ExactSolver,
    FixedCuts,
    GeneticSearch,
    GreedySearch,
    solver_named,
)
from huscf_flwr.models import ModelSpec

__all__ = [
    "FLOP_RULES",
    "SOLVERS",
    "Beliefs",
    "CutProblem",
    "CutSolver",
    "Device",
    "DeviceFile",
    "ExactSolver",
    "FixedCuts",
    "FlopRule",
    "GeneticSearch",
    "GreedySearch",
    "LatencyModel",
    "LatencyOptions",
    "NoLegalCutError",
    "Reselection",
    "Server",
    "Solution",
    "StepTimes",
    "deal",
    "load_devices",
    "reselect",
    "select_cuts",
    "solver_named",
]


def select_cuts(
    spec: ModelSpec,
    devices: Sequence[Device],
    server: Server,
    *,
    batch_size: int,
    solver: CutSolver,
    flops: FlopRule = "exact",
    seed: int = 0,
    options: LatencyOptions | None = None,
) -> Solution:
    """Choose a cut for each client; ``devices`` holds one profile per client, and so does the solution.

    Raises ``NoLegalCutError`` if a device's limits leave it no cut.
    """
    problem = CutProblem(spec, tuple(devices), server, batch_size, flops, options or LatencyOptions())
    return solver.solve(problem, seed=seed)
