"""The same cut for all clients: what users set by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from huscf_flwr.cuts.limits import NoLegalCutError
from huscf_flwr.cuts.problem import CutProblem, Solution
from huscf_flwr.models import Cut, check_cut, with_local_discriminator


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
        _check_discriminator(problem, self.cut)
        chosen = problem.cuts.index(self.cut)
        for device, allowed in zip(problem.classes, problem.allowed[:, chosen], strict=True):
            if not allowed:
                raise NoLegalCutError(
                    f"device {device.name}: its limits forbid the fixed cut {tuple(self.cut)}; choose another"
                )


def _check_discriminator(problem: CutProblem, cut: Cut) -> None:
    """Raise ``ValueError`` if the cut keeps the whole discriminator and may not, or must and does not."""
    if cut in problem.cuts:
        return
    if problem.local_discriminator:
        whole = ",".join(map(str, with_local_discriminator(problem.spec, cut)))
        raise ValueError(f"cut {tuple(cut)}: clients keep the whole discriminator, so write {whole}")
    raise ValueError(
        f"cut {tuple(cut)} keeps the whole discriminator: set privacy.local_discriminator to true, or give "
        "another cut"
    )
