"""What ``huscf cuts`` shows: tables for people, objects for programs."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from huscf_flwr.bench.rehearsal import RehearsedStep
from huscf_flwr.cuts.benchmark import TimedSearch
from huscf_flwr.cuts.comparison import ComparedPlacement
from huscf_flwr.cuts.problem import CutProblem, Solution
from huscf_flwr.models import Cut


def class_table(problem: CutProblem, cuts: Sequence[Cut]) -> Table:
    """Return one line for each class of devices and cut, with a client's own seconds in a step."""
    table = Table(title="Cuts: blocks kept in generator head and tail, discriminator head and tail")
    for heading in ("device", "clients", "cut", "client seconds", "link seconds"):
        table.add_column(heading, justify="left" if heading == "device" else "right", overflow="fold")
    computing, transferring = problem.model.client_seconds(cuts)
    groups = list(zip(problem.class_of_client.tolist(), cuts, strict=True))
    for (index, cut), count in sorted(Counter(groups).items()):
        client = groups.index((index, cut))
        seconds = (f"{computing[client]:.4f}", f"{transferring[client]:.4f}")
        table.add_row(problem.classes[index].name, str(count), " ".join(map(str, cut)), *seconds)
    return table


def stage_table(problem: CutProblem, cuts: Sequence[Cut]) -> Table:
    """Return the stages of a step and whom each waits for."""
    table = Table(title="Stages of a step")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("waits for")
    for stage in problem.model.stages(cuts):
        table.add_row(stage.name, f"{stage.seconds:.4f}", stage.waits_for)
    return table


def summary_line(problem: CutProblem, solution: Solution) -> str:
    """Return the total, how far it may be from the optimum, and under which rules it holds."""
    rules = "; ".join((f"FLOP rule {problem.flops}", *problem.options.described()))
    return (
        f"Total: {solution.latency_s:.4f} s per step, solver {solution.solver}, {_gap(solution.gap)}, "
        f"found in {solution.seconds:.3f} s ({rules})"
    )


def comparison_table(problem: CutProblem, placements: Sequence[ComparedPlacement]) -> Table:
    """Return solvers and placements side by side."""
    rules = "; ".join((f"FLOP rule {problem.flops}", *problem.options.described()))
    table = Table(title=f"{len(problem.devices)} clients, {rules}: seconds per step")
    for heading in ("placement", "all classes", "without the slowest", "gap", "solved in"):
        table.add_column(heading, justify="left" if heading == "placement" else "right")
    for placement in placements:
        solution = placement.solution
        table.add_row(
            placement.name,
            _seconds(placement.latency_s),
            _seconds(placement.without_slowest_s),
            "-" if solution is None else _gap(solution.gap),
            "-" if solution is None else f"{solution.seconds:.3f} s",
        )
    return table


def benchmark_table(searches: Sequence[TimedSearch]) -> Table:
    """Return the timed searches side by side."""
    table = Table(title="Genetic search against the authors' own")
    for heading in ("search", "seconds", "times faster than theirs", "above the optimum", "at worst"):
        table.add_column(heading, justify="left" if heading == "search" else "right")
    for search in searches:
        fewest, most = search.times_faster
        table.add_row(
            search.name,
            f"{search.seconds:.2f}",
            f"{fewest:.0f} to {most:.0f}",
            f"{100 * statistics.median(search.above_optimum):.2f} %",
            f"{100 * max(search.above_optimum):.2f} %",
        )
    return table


def rehearsal_table(rehearsed: Sequence[RehearsedStep]) -> Table:
    """Return predicted and measured steps side by side, the shortest first."""
    table = Table(title="Seconds per step of the real split engine, devices emulated")
    for heading in ("assignment", "measured", "predicted", "error", "counted only", "its error"):
        table.add_column(heading, justify="left" if heading == "assignment" else "right")
    for step in sorted(rehearsed, key=lambda step: step.measured_s):
        counted_error = step.counted_s / step.measured_s - 1
        table.add_row(
            step.name,
            *(f"{step.measured_s:.3f}", f"{step.predicted_s:.3f}", f"{100 * step.error:+.1f} %"),
            *(f"{step.counted_s:.3f}", f"{100 * counted_error:+.1f} %"),
        )
    return table


def solution_as_json(problem: CutProblem, solution: Solution) -> dict[str, Any]:
    """Return a solution with everything that the tables show."""
    return {
        "latency_s": solution.latency_s,
        "solver": solution.solver,
        "gap": solution.gap,
        "seconds": solution.seconds,
        "flops": problem.flops,
        "options": list(problem.options.described()),
        "stages": [
            {"stage": stage.name, "seconds": stage.seconds, "waits_for": stage.waits_for}
            for stage in problem.model.stages(solution.cuts)
        ],
        "clients": [
            {"device": device.name, "cut": list(cut)}
            for device, cut in zip(problem.devices, solution.cuts, strict=True)
        ],
    }


def comparison_as_json(problem: CutProblem, placements: Sequence[ComparedPlacement]) -> dict[str, Any]:
    """Return the lines of a comparison and the rules under which they hold."""
    lines = [
        {
            "placement": placement.name,
            "latency_s": placement.latency_s,
            "without_slowest_s": placement.without_slowest_s,
            "gap": placement.solution.gap if placement.solution else None,
            "seconds": placement.solution.seconds if placement.solution else None,
        }
        for placement in placements
    ]
    rules = {"flops": problem.flops, "options": list(problem.options.described())}
    return {"clients": len(problem.devices), **rules, "placements": lines}


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.4f}"


def _gap(gap: float | None) -> str:
    if gap is None:
        return "no proof"
    return "proven optimum" if gap == 0 else f"at most {100 * gap:.3f} % above the optimum"
