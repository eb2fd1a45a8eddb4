"""The same cut for all clients: what users set by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from huscf_flwr.cuts.limits import NoLegalCutError
from huscf_flwr.cuts.problem import CutProblem, Solution
from huscf_flwr.models import Cut, check_cut


@dataclass(frozen=True)
class FixedCuts:
    """Gives every client ``cut``."""

    cut: Cut = field(default_factory=Cut)
    name: str = "fixed"

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:  # noqa: ARG002 - nothing is drawn
        """Return the cut for every client; raises ``ValueError`` as ``check``."""
        started = time.perf_counter()
        self.check(problem)
        return problem.solution([self.cut] * len(problem.devices), solver=self.name, started=started)

    def check(self, problem: CutProblem) -> None:
        """Raise ``ValueError`` unless every client can have the cut.

        It is ``NoLegalCutError`` if a device's limits forbid it; otherwise it is outside the network.
        """
        check_cut(problem.spec, self.cut)
        chosen = problem.cuts.index(self.cut)
        for device, allowed in zip(problem.classes, problem.allowed[:, chosen], strict=True):
            if not allowed:
                raise NoLegalCutError(
                    f"device {device.name}: its limits forbid the fixed cut {tuple(self.cut)}; choose another"
                )
