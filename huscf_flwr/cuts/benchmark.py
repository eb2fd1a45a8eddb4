"""How long the genetic search takes at the paper's size, and how good it is.

The authors' fitness call takes 0.11 to 0.14 ms on one core and is called about 6,000 times a generation, so
their 1000 generations take 660 to 840 s.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from huscf_flwr.cuts.problem import CutProblem
from huscf_flwr.cuts.solvers import ExactSolver, GeneticSearch

_AUTHORS_SECONDS = (660.0, 840.0)


@dataclass(frozen=True)
class TimedSearch:
    """One search and what came of it."""

    name: str
    seconds: float
    latency_s: float
    above_optimum: float
    """Latency relative to the proven optimum, minus one."""

    @property
    def times_faster(self) -> tuple[float, float]:
        """How many times faster than the authors' search, for both ends of their range."""
        fewest, most = _AUTHORS_SECONDS
        return fewest / self.seconds, most / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the search as a JSON object."""
        return {**asdict(self), "times_faster": list(self.times_faster)}


def benchmark_genetic(problem: CutProblem, *, seed: int) -> tuple[TimedSearch, ...]:
    """Run the published settings, the same with a gene for every client, and our own settings."""
    published = GeneticSearch.as_published()
    searches = {
        "published: 1000 genomes, 1000 generations, 4 clients a gene": published,
        "the same, one client a gene": replace(published, clients_per_gene=1),
        "our defaults": GeneticSearch(),
    }
    optimum_s = ExactSolver().solve(problem, seed=seed).latency_s
    timed = []
    for name, search in searches.items():
        found = search.solve(problem, seed=seed)
        timed.append(TimedSearch(name, found.seconds, found.latency_s, found.latency_s / optimum_s - 1))
    return tuple(timed)
