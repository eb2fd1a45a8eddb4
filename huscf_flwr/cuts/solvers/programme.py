"""Cuts whose four parts are coupled, as a mixed-integer linear programme over counts.

Memory, energy or the transfer of segments once a round couple the parts of a cut. The unknowns are then
how many clients of each class get each cut (integers), whether a class uses a depth of a part (0 or 1), how
many clients leave each movable block to the server, and the seconds of each stage. For every class and
every depth d of a part that it uses::

    stage >= c(d) + sum_{b > d} n_b f_b                                        (see ``latency``)

which is written with the least constant that switches it off. What HiGHS would not find by itself is given
to it: an upper bound from a known assignment, each part's own optimum as a lower bound, and with both, which
depths are too slow to be in any better assignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from huscf_flwr.cuts.costs import Floats
from huscf_flwr.cuts.latency import Integers
from huscf_flwr.cuts.problem import CutProblem
from huscf_flwr.cuts.solvers.bottleneck import PartOptimum
from huscf_flwr.extras import extra

_STAGES = 2

_UNITS_PER_STEP = 10.0
"""The programme counts time in tenths of the known latency, for HiGHS has absolute tolerances."""

_PRESOLVED_ROWS = 5000
"""Beyond this, the presolve of HiGHS takes longer than its own time limit."""


@dataclass(frozen=True)
class ProgrammeResult:
    """What HiGHS found within its time."""

    counts: Integers | None
    """[classes, cuts]: clients of each class with each cut; None if it found none better."""
    bound_s: float
    """Proven lower bound of the latency; minus infinity if HiGHS proved nothing."""


@dataclass
class _Programme:
    """A linear programme that is still being written down."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    coefficients: list[float] = field(default_factory=list)
    row_ends: list[int] = field(default_factory=lambda: [0])
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)

    def variable(self, lower: float, upper: float, *, integer: bool) -> int:
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(int(integer))
        return len(self.lower) - 1

    def row(
        self, terms: Sequence[tuple[int, float]], *, least: float = -np.inf, most: float = np.inf
    ) -> None:
        self.columns += [column for column, _ in terms]
        self.coefficients += [float(coefficient) for _, coefficient in terms]
        self.row_ends.append(len(self.columns))
        self.row_lower.append(least)
        self.row_upper.append(most)

    def minimise(self, variables: Sequence[int], options: dict[str, float]) -> tuple[Floats | None, float]:
        """Return the values of all variables, if any were found, and a lower bound of the objective."""
        with extra("server", "an exact choice of cuts"):
            from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - a ClientApp starts without it
            from scipy.sparse import csr_array  # noqa: PLC0415

        objective = np.zeros(len(self.lower))
        objective[list(variables)] = 1.0
        shape = (len(self.row_lower), len(self.lower))
        matrix = csr_array((self.coefficients, self.columns, self.row_ends), shape=shape)
        result = milp(
            objective,
            integrality=np.array(self.integer),
            bounds=Bounds(np.array(self.lower), np.array(self.upper)),
            constraints=LinearConstraint(matrix, np.array(self.row_lower), np.array(self.row_upper)),
            options=options,
        )
        bound = getattr(result, "mip_dual_bound", None)
        return result.x, -np.inf if bound is None else float(bound)


class CoupledCuts:
    """The programme of one problem."""

    def __init__(self, problem: CutProblem, optima: Sequence[PartOptimum], known_s: float) -> None:
        """Write the programme down.

        Args:
            problem: what is to be solved.
            optima: the optimum of each part taken alone.
            known_s: latency of a known assignment; only better or equal ones are looked for.
        """
        self.problem = problem
        self.unit_s = known_s / _UNITS_PER_STEP
        self.client = [times.client_s() / self.unit_s for times in problem.class_model.parts]
        self.server = [times.server_s / self.unit_s for times in problem.class_model.parts]
        self.optima = [best.bound_s / self.unit_s for best in optima]
        self.budget = (known_s - problem.class_model.constant_s) / self.unit_s
        self.programme = _Programme()
        self.counts = self._count_variables()
        self.stages = [self._stage_variables(part) for part in range(len(self.client))]
        for part in range(len(self.client)):
            self._add_part(part)
        self.objective = [stage for stages in self.stages for stage in stages]
        if problem.options.steps_per_round is not None:
            self.objective.append(self._add_round_transfers())
        self.programme.row([(variable, 1.0) for variable in self.objective], most=self.budget)

    def solve(self, *, time_limit_s: float, gap: float) -> ProgrammeResult:
        """Run HiGHS until the relative ``gap`` is proven or the time is over."""
        presolve = len(self.programme.row_lower) <= _PRESOLVED_ROWS
        options = {"time_limit": time_limit_s, "mip_rel_gap": gap, "presolve": presolve}
        values, bound = self.programme.minimise(self.objective, options)
        bound_s = bound * self.unit_s + self.problem.class_model.constant_s
        if values is None:
            return ProgrammeResult(None, bound_s)
        counts = np.zeros(self.problem.allowed.shape, dtype=np.int64)
        for row, variables in enumerate(self.counts):
            for cut, variable in variables.items():
                counts[row, cut] = round(values[variable])
        return ProgrammeResult(counts, bound_s)

    def _count_variables(self) -> list[dict[int, int]]:
        """For each class, a count by allowed cut; they add up to the size of the class."""
        by_class = []
        for row, size in enumerate(self.problem.class_sizes):
            cuts = np.flatnonzero(self.problem.allowed[row]).tolist()
            variables = {cut: self.programme.variable(0, float(size), integer=True) for cut in cuts}
            terms = [(variable, 1.0) for variable in variables.values()]
            self.programme.row(terms, least=float(size), most=float(size))
            by_class.append(variables)
        return by_class

    def _stage_variables(self, part: int) -> list[int]:
        """Two stages; together not below the part's own optimum, each not above what the budget leaves."""
        least = self._least(part)
        most = self.budget - sum(self.optima) + self.optima[part] - least[::-1]
        stages = [
            self.programme.variable(float(least[stage]), float(most[stage]), integer=False)
            for stage in range(_STAGES)
        ]
        self.programme.row([(stage, 1.0) for stage in stages], least=self.optima[part])
        return stages

    def _least(self, part: int) -> Floats:
        """Return [2], below which neither stage can be."""
        allowed = self.problem.allowed_depths[part]
        times = np.where(allowed, self.client[part], np.inf)
        return np.asarray(times.min(axis=2).max(axis=1))

    def _add_part(self, part: int) -> None:
        leaving = self._leaving_variables(part)
        for row in range(len(self.problem.classes)):
            for depth in np.flatnonzero(self.problem.allowed_depths[part][row]):
                self._add_stage_rows(part, row, int(depth), leaving)

    def _leaving_variables(self, part: int) -> list[int]:
        """For each movable block, how many clients leave it to the server."""
        variables = []
        for block in range(1, self.client[part].shape[2]):
            leaving = self.programme.variable(0, float(self.problem.class_model.clients), integer=False)
            terms = [
                (variable, -1.0)
                for variables_of_class in self.counts
                for cut, variable in variables_of_class.items()
                if self.problem.depth_table[cut, part] < block
            ]
            self.programme.row([(leaving, 1.0), *terms], least=0.0, most=0.0)
            variables.append(leaving)
        return variables

    def _used_variable(self, part: int, row: int, depth: int) -> int:
        """Whether any client of a class uses a depth; never if that alone is slower than what is known."""
        too_slow = (self.client[part][:, row, depth] > self._most(part) * (1 + 1e-9)).any()
        used = self.programme.variable(0.0, 0.0 if too_slow else 1.0, integer=True)
        terms = [
            (variable, 1.0)
            for cut, variable in self.counts[row].items()
            if self.problem.depth_table[cut, part] == depth
        ]
        size = float(self.problem.class_sizes[row])
        self.programme.row([*terms, (used, -size)], most=0.0)
        return used

    def _most(self, part: int) -> Floats:
        return np.array([self.programme.upper[stage] for stage in self.stages[part]])

    def _add_stage_rows(self, part: int, row: int, depth: int, leaving: Sequence[int]) -> None:
        """Make both stages wait for a class at a depth, if it uses that depth."""
        used = self._used_variable(part, row, depth)
        for stage, variable in enumerate(self.stages[part]):
            own = float(self.client[part][stage, row, depth])
            server = self.server[part][stage, depth:].tolist()
            slowest = own + self.problem.class_model.clients * sum(server)
            switch_off = slowest - self.programme.lower[variable]
            terms = [(column, -time) for column, time in zip(leaving[depth:], server, strict=True)]
            if switch_off > 0:
                self.programme.row([(variable, 1.0), *terms, (used, -switch_off)], least=own - switch_off)

    def _add_round_transfers(self) -> int:
        """Add the slowest client's transfer of segments, one more stage."""
        seconds = self.problem.class_model.round_transfer_seconds(self.problem.cut_table)
        transfers = seconds / self.unit_s
        longest = self.programme.variable(0.0, float(transfers.max()), integer=False)
        for row, variables in enumerate(self.counts):
            size = float(self.problem.class_sizes[row])
            for cut, variable in variables.items():
                used = self.programme.variable(0.0, 1.0, integer=True)
                self.programme.row([(variable, 1.0), (used, -size)], most=0.0)
                self.programme.row([(longest, 1.0), (used, -float(transfers[row, cut]))], least=0.0)
        return longest
