"""The same cut for all clients, or one by the name of the device: what users set by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from huscf_flwr.cuts.limits import NoLegalCutError
from huscf_flwr.cuts.problem import CutProblem, Solution
from huscf_flwr.models import Cut, check_cut


@dataclass(frozen=True)
class FixedCuts:
    """Gives every client ``cut``, but those whose device is named in ``by_device``."""

    cut: Cut = field(default_factory=Cut)
    by_device: Mapping[str, Cut] = field(default_factory=dict)
    name: str = "fixed"

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:  # noqa: ARG002 - nothing is drawn
        """Return the cuts as they are set.

        Raises ``ValueError`` if a cut is outside the network or a named device does not exist, and
        ``NoLegalCutError`` if a device's limits forbid its cut.
        """
        started = time.perf_counter()
        self._check_names(problem)
        by_class = [self.by_device.get(device.name, self.cut) for device in problem.classes]
        for index, (device, cut) in enumerate(zip(problem.classes, by_class, strict=True)):
            check_cut(problem.spec, cut)
            if not problem.allowed[index, problem.cuts.index(cut)]:
                raise NoLegalCutError(
                    f"device {device.name}: its limits forbid the fixed cut {tuple(cut)}; choose another"
                )
        cuts = [by_class[index] for index in problem.class_of_client]
        return problem.solution(cuts, solver=self.name, started=started)

    def _check_names(self, problem: CutProblem) -> None:
        known = {device.name for device in problem.devices}
        unknown = sorted(set(self.by_device) - known)
        if unknown:
            raise ValueError(
                f"fixed cut for unknown device {unknown[0]!r}; known: {', '.join(sorted(known))}"
            )
