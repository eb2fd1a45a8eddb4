"""How long the genetic search takes at the paper's size, and how good it is.

The authors' fitness call takes 0.11 to 0.14 ms on one core and is called about 6,000 times a generation, so
their 1000 generations take 660 to 840 s.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from huscf_flwr.cuts.problem import CutProblem
from huscf_flwr.cuts.solvers import ExactSolver, GeneticSearch

_AUTHORS_SECONDS = (660.0, 840.0)


@dataclass(frozen=True)
class TimedSearch:
    """One search, run with several seeds, and what came of it."""

    name: str
    seconds: float
    """Median of the seeds."""
    above_optimum: tuple[float, ...]
    """By seed: latency relative to the proven optimum, minus one."""

    @property
    def times_faster(self) -> tuple[float, float]:
        """How many times faster than the authors' search, for both ends of their range."""
        fewest, most = _AUTHORS_SECONDS
        return fewest / self.seconds, most / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the search as a JSON object."""
        return {
            **asdict(self),
            "above_optimum_median": statistics.median(self.above_optimum),
            "above_optimum_worst": max(self.above_optimum),
            "times_faster": list(self.times_faster),
        }


def benchmark_genetic(problem: CutProblem, *, seeds: Sequence[int]) -> tuple[TimedSearch, ...]:
    """Run the published settings, the same with a gene for every client, and our own settings."""
    published = GeneticSearch.as_published()
    searches = {
        "published: 1000 genomes, 1000 generations, 4 clients a gene": published,
        "the same, one client a gene": replace(published, clients_per_gene=1),
        "our defaults": GeneticSearch(),
    }
    optimum_s = ExactSolver().solve(problem, seed=0).latency_s
    return tuple(_timed(name, search, problem, seeds, optimum_s) for name, search in searches.items())


def _timed(
    name: str, search: GeneticSearch, problem: CutProblem, seeds: Sequence[int], optimum_s: float
) -> TimedSearch:
    found = [search.solve(problem, seed=seed) for seed in seeds]
    return TimedSearch(
        name,
        statistics.median(solution.seconds for solution in found),
        tuple(solution.latency_s / optimum_s - 1 for solution in found),
    )
