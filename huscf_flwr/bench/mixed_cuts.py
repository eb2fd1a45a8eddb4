"""Cuts chosen whatever the devices are, for benchmarks and soak tests: mixed, or as far apart as may be."""

from __future__ import annotations

import time
from dataclasses import dataclass

from huscf_flwr.bench.step import mixed_cuts
from huscf_flwr.cuts import CutProblem, Solution
from huscf_flwr.models import Cut, ModelSpec, largest_cut


def extreme_cuts(spec: ModelSpec) -> dict[str, Cut]:
    """Return by name the lightest and the heaviest cut, and those with heavy heads or heavy tails only."""
    most = largest_cut(spec)
    return {
        "lightest cuts": Cut(),
        "heaviest cuts": most,
        "heavy heads": Cut(generator_head=most[0], discriminator_head=most[2]),
        "heavy tails": Cut(generator_tail=most[1], discriminator_tail=most[3]),
    }


@dataclass(frozen=True)
class MixedCuts:
    """A cut solver that gives out ``mixed_cuts``."""

    name: str = "mixed"

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:  # noqa: ARG002 - nothing is drawn
        """Return the cuts, in the order of the clients."""
        started = time.perf_counter()
        cuts = list(mixed_cuts(problem.spec, len(problem.devices)).values())
        return problem.solution(cuts, solver=self.name, started=started)
