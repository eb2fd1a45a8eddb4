"""Choosing new cuts in the middle of a run: only if it pays, and only where it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from huscf_flwr.cuts.problem import CutProblem, CutSolver, Solution
from huscf_flwr.models import Cut, client_block_keys

_BYTES_PER_TAKEN_PARAMETER = 12
"""The weight and Adam's two moments, 32 bit each."""
_HARDLY_LONGER = 1.01


@dataclass(frozen=True)
class Reselection:
    """New cuts that pay."""

    solution: Solution
    before_s: float
    """Predicted seconds of a step with the cuts as they are."""
    cost_s: float
    """Seconds that the slowest client needs to take over its blocks, once."""


def reselect(
    problem: CutProblem,
    cuts: Sequence[Cut],
    solver: CutSolver,
    *,
    steps_left: int,
    least_gain: float,
    seed: int,
) -> Reselection | None:
    """Solve ``problem`` for clients that have ``cuts``; return None if moving does not pay.

    It pays if the predicted step becomes shorter by at least the share ``least_gain``, and if in the
    ``steps_left`` of the run that saves more than the cost of moving. Clients whose move gains next to
    nothing stay.
    """
    before_s = problem.latency(cuts)
    solution = _without_idle_moves(problem, cuts, solver.solve(problem, seed=seed))
    gain_s = before_s - solution.latency_s
    cost_s = moving_seconds(problem, cuts, solution.cuts)
    if gain_s < least_gain * before_s or gain_s * steps_left <= cost_s:
        return None
    return Reselection(solution, before_s, cost_s)


def moving_seconds(problem: CutProblem, before: Sequence[Cut], after: Sequence[Cut]) -> float:
    """Return how long the slowest client loads the weights and moments of the blocks that it takes over.

    A block that is given up costs nothing: its weights go up at the end of every round, its moments stay.
    """
    taken = np.array([_taken_parameters(problem, old, new) for old, new in zip(before, after, strict=True)])
    seconds = _BYTES_PER_TAKEN_PARAMETER * taken * problem.model.speeds.download_s_per_byte
    return float(seconds.max())


def _taken_parameters(problem: CutProblem, before: Cut, after: Cut) -> float:
    taken = set(client_block_keys(problem.spec, after)) - set(client_block_keys(problem.spec, before))
    return sum(float(problem.costs.network(network).parameters[index]) for network, index in taken)


def _without_idle_moves(problem: CutProblem, before: Sequence[Cut], solution: Solution) -> Solution:
    """Put back those cuts without which the step is hardly longer, the idlest first."""
    longest_s = solution.latency_s * _HARDLY_LONGER
    cuts = list(solution.cuts)
    moved = [client for client, cut in enumerate(before) if cut != cuts[client]]
    idlest_first = sorted(moved, key=lambda one: problem.latency(_put_back(cuts, before, one)))
    for client in idlest_first:
        fewer = _put_back(cuts, before, client)
        if problem.latency(fewer) <= longest_s:
            cuts = fewer
    return replace(solution, cuts=tuple(cuts), latency_s=problem.latency(cuts))


def _put_back(cuts: Sequence[Cut], before: Sequence[Cut], client: int) -> list[Cut]:
    return [*cuts[:client], before[client], *cuts[client + 1 :]]
