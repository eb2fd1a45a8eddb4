"""The proven optimum.

Without a limit that couples them, the four parts of a cut are solved one by one (``bottleneck``). Otherwise
their optima bound the latency from below, and a mixed-integer programme (``programme``) narrows the gap to
the best assignment known, for as long as it is given.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huscf_flwr.cuts.latency import Integers
from huscf_flwr.cuts.problem import CutProblem, Solution
from huscf_flwr.cuts.solvers.bottleneck import PartOptimum, best_depths
from huscf_flwr.cuts.solvers.greedy import GreedySearch
from huscf_flwr.cuts.solvers.programme import CoupledCuts
from huscf_flwr.models import Cut

_PROVEN = 1e-9
"""Relative gap that is rounding."""


@dataclass(frozen=True, kw_only=True)
class ExactSolver:
    """Solves to optimality; coupled problems up to a gap."""

    time_limit_s: float = 8.0
    """Time for the programme of a coupled problem."""
    target_gap: float = 1e-4
    """Relative gap at which the programme stops."""
    name: str = "exact"

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:  # noqa: ARG002 - nothing is drawn
        """Return the best cuts and their proven gap; 0 if they are optimal."""
        started = time.perf_counter()
        optima = [
            best_depths(times, problem.class_sizes, allowed)
            for times, allowed in zip(problem.class_model.parts, problem.allowed_depths, strict=True)
        ]
        bound_s = problem.class_model.constant_s + sum(best.bound_s for best in optima)
        if problem.parts_are_independent:
            cuts = _joined(problem, optima)
        else:
            cuts, bound_s = self._coupled(problem, optima, bound_s)
        gap = 1 - bound_s / problem.latency(cuts)
        return problem.solution(cuts, solver=self.name, started=started, gap=gap if gap > _PROVEN else 0.0)

    def _coupled(
        self, problem: CutProblem, optima: Sequence[PartOptimum], bound_s: float
    ) -> tuple[tuple[Cut, ...], float]:
        known = min(_descents(problem, optima), key=problem.latency)
        known_s = problem.latency(known)
        if bound_s >= known_s * (1 - self.target_gap):
            return known, bound_s
        result = CoupledCuts(problem, optima, known_s).solve(
            time_limit_s=self.time_limit_s, gap=self.target_gap
        )
        bound_s = max(bound_s, min(result.bound_s, known_s))
        if result.counts is None:
            return known, bound_s
        found = _dealt(problem, result.counts)
        return min(known, found, key=problem.latency), bound_s


def _descents(problem: CutProblem, optima: Sequence[PartOptimum]) -> list[tuple[Cut, ...]]:
    """Descend from the lightest cuts, and from the allowed cuts nearest to the optimum without coupling."""
    wanted = np.stack([best.depths for best in optima], axis=1) + problem.least
    distance = np.abs(problem.cut_table[None] - wanted[:, None]).sum(axis=2)
    nearest = np.where(problem.allowed, distance, np.iinfo(np.int64).max).argmin(axis=1)
    greedy = GreedySearch()
    return [problem.cuts_by_class(greedy.by_class(problem, start)) for start in (None, nearest)]


def _joined(problem: CutProblem, optima: Sequence[PartOptimum]) -> tuple[Cut, ...]:
    kept = np.stack([best.depths for best in optima], axis=1) + problem.least
    by_class = [Cut(*numbers) for numbers in kept.tolist()]
    return tuple(by_class[index] for index in problem.class_of_client)


def _dealt(problem: CutProblem, counts: Integers) -> tuple[Cut, ...]:
    """Deal ``counts`` [classes, cuts] to the clients of each class in their order."""
    waiting = [list(np.repeat(np.arange(len(problem.cuts)), row))[::-1] for row in counts]
    return tuple(problem.cuts[waiting[index].pop()] for index in problem.class_of_client)
