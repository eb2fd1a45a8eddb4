"""Solvers and placements side by side, with and without the slowest class of devices.

Nearly all of what cutting gains in the paper's setting comes from one very slow class, so a comparison
that leaves it in says little about the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from huscf_flwr.cuts.baselines import discriminator_on_client, full_networks_on_client
from huscf_flwr.cuts.devices import DeviceFile, deal
from huscf_flwr.cuts.limits import NoLegalCutError
from huscf_flwr.cuts.problem import CutProblem, CutSolver, Solution
from huscf_flwr.cuts.solvers.exact import ExactSolver


@dataclass(frozen=True)
class ComparedPlacement:
    """One line of the comparison."""

    name: str
    latency_s: float | None
    """None if the limits of a device forbid it."""
    without_slowest_s: float | None
    """The same number of clients, dealt to the other classes; None if there is none or it is forbidden."""
    solution: Solution | None
    """None for a placement that is not a choice of cuts, or forbidden."""


def compare(
    problem: CutProblem, without_slowest: CutProblem | None, solvers: Sequence[CutSolver], *, seed: int
) -> tuple[ComparedPlacement, ...]:
    """Return the solvers' lines in their order, then that of a local discriminator, then the baselines'.

    Raises ``NoLegalCutError`` if a device has no legal cut at all; a solver whose own cuts are forbidden (the
    fixed ones) only gets an empty line.
    """
    lines = []
    for solver in solvers:
        solution = _solve_if_allowed(solver, problem, seed)
        rest = None if without_slowest is None else _solve_if_allowed(solver, without_slowest, seed)
        lines.append(ComparedPlacement(solver.name, _latency(solution), _latency(rest), solution))
    return (*lines, *_other_placement(problem, without_slowest, seed), *_baselines(problem, without_slowest))


def _other_placement(
    problem: CutProblem, without_slowest: CutProblem | None, seed: int
) -> tuple[ComparedPlacement, ...]:
    """Return what the exact solver makes of a local discriminator; nothing if all lines are about it."""
    if problem.local_discriminator:
        return ()
    local = replace(problem, local_discriminator=True)
    rest = None if without_slowest is None else replace(without_slowest, local_discriminator=True)
    solver, found = ExactSolver(), []
    for each in (local, rest):
        try:
            found.append(None if each is None else solver.solve(each, seed=seed))
        except NoLegalCutError:
            found.append(None)
    name = f"whole discriminator on the client, {solver.name}"
    return (ComparedPlacement(name, _latency(found[0]), _latency(found[1]), found[0]),)


def _latency(solution: Solution | None) -> float | None:
    return None if solution is None else solution.latency_s


def _solve_if_allowed(solver: CutSolver, problem: CutProblem, seed: int) -> Solution | None:
    """Return None if the problem has legal cuts, but the solver's own are not among them."""
    assert problem.allowed.any()
    try:
        return solver.solve(problem, seed=seed)
    except NoLegalCutError:
        return None


def without_slowest_class(problem: CutProblem, profiles: DeviceFile) -> CutProblem | None:
    """Return the problem with its clients dealt to all profiles but the slowest; None if none is left."""
    rest = profiles.without_slowest()
    if rest is None:
        return None
    return replace(problem, devices=deal(rest.devices, len(problem.devices)))


def _baselines(problem: CutProblem, without_slowest: CutProblem | None) -> tuple[ComparedPlacement, ...]:
    clients = len(problem.devices)
    placements: dict[str, Callable[[CutProblem], float]] = {
        "full networks on the client": full_networks_on_client,
        "discriminator only, 1 server batch": lambda of: discriminator_on_client(of, 1),
        f"discriminator only, {clients} server batches": lambda of: discriminator_on_client(of, clients),
    }
    return tuple(
        ComparedPlacement(name, seconds(problem), seconds(without_slowest) if without_slowest else None, None)
        for name, seconds in placements.items()
    )
