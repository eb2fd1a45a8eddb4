"""One cut for each class of devices, improved class by class until nothing helps.

A single class often cannot help alone, because two classes hold up the same stage; so while there are
few classes, pairs of them are changed together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from huscf_flwr.cuts.latency import Integers
from huscf_flwr.cuts.problem import CutProblem, Solution

_PAIRED_CLASSES = 12
_IMPROVEMENT = 1 - 1e-12


@dataclass(frozen=True, kw_only=True)
class GreedySearch:
    """Descends from the lightest cut that each class may have."""

    paired_classes: int = _PAIRED_CLASSES
    """Change pairs of classes together if there are at most this many."""
    name: str = "greedy"

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:  # noqa: ARG002 - nothing is drawn
        """Return a local optimum: no change of one class (or pair) makes the step shorter."""
        started = time.perf_counter()
        by_class = self.by_class(problem)
        return problem.solution(problem.cuts_by_class(by_class), solver=self.name, started=started)

    def by_class(self, problem: CutProblem, start: Integers | None = None) -> Integers:
        """Return the index [classes] into the legal cuts of each class's cut.

        The descent begins at ``start``, or at the lightest cut that each class may have.
        """
        chosen: Integers = problem.allowed.argmax(axis=1) if start is None else start
        latency = float(problem.class_model.latency(problem.cut_table[chosen][None])[0])
        improved = True
        while improved:
            improved = False
            for group in self._groups(len(problem.classes)):
                candidates = _variants(problem, chosen, group)
                latencies = problem.class_model.latency(problem.cut_table[candidates])
                best = int(latencies.argmin())
                if latencies[best] < latency * _IMPROVEMENT:
                    chosen, latency, improved = candidates[best], float(latencies[best]), True
        return chosen

    def _groups(self, classes: int) -> Iterator[tuple[int, ...]]:
        yield from combinations(range(classes), 1)
        if classes <= self.paired_classes:
            yield from combinations(range(classes), 2)


def _variants(problem: CutProblem, chosen: Integers, group: tuple[int, ...]) -> Integers:
    """Return [variants, classes]: all allowed choices of the classes in ``group``, the rest as chosen."""
    options = [np.flatnonzero(problem.allowed[index]) for index in group]
    combined = np.stack(np.meshgrid(*options, indexing="ij"), axis=-1).reshape(-1, len(group))
    variants = np.repeat(chosen[None], len(combined), axis=0)
    variants[:, list(group)] = combined
    return variants
