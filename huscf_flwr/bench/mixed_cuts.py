"""Cuts that differ from client to client, whatever their devices: for benchmarks and the soak test."""

from __future__ import annotations

import time
from dataclasses import dataclass

from huscf_flwr.bench.step import mixed_cuts
from huscf_flwr.cuts import CutProblem, Solution


@dataclass(frozen=True)
class MixedCuts:
    """A cut solver that gives out ``mixed_cuts``."""

    name: str = "mixed"

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:  # noqa: ARG002 - nothing is drawn
        """Return the cuts, in the order of the clients."""
        started = time.perf_counter()
        cuts = list(mixed_cuts(problem.spec, len(problem.devices)).values())
        return problem.solution(cuts, solver=self.name, started=started)
