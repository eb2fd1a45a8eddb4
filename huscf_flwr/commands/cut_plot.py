"""Latency against the number of clients, and predicted against measured, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from huscf_flwr.bench.rehearsal import RehearsedStep
from huscf_flwr.cuts.baselines import discriminator_on_client, full_networks_on_client
from huscf_flwr.cuts.devices import Device, deal
from huscf_flwr.cuts.problem import CutProblem, CutSolver
from huscf_flwr.evaluation.figures import save_figure

_POINTS = 12

Curves = dict[str, list[float]]


def latency_curves(
    problem: CutProblem, profiles: Sequence[Device], solver: CutSolver, *, seed: int
) -> tuple[list[int], Curves]:
    """Return numbers of clients up to that of ``problem``, and the step time of each placement at them."""
    counts = np.unique(np.linspace(1, len(problem.devices), _POINTS).round().astype(int)).tolist()
    placements: dict[str, Callable[[CutProblem], float]] = {
        f"cuts by {solver.name}": lambda at: solver.solve(at, seed=seed).latency_s,
        "lightest cut everywhere": lambda at: at.latency([at.cuts[0]] * len(at.devices)),
        "full networks on the client": full_networks_on_client,
        "discriminator only, 1 server batch": lambda at: discriminator_on_client(at, 1),
    }
    problems = [replace(problem, devices=deal(profiles, count)) for count in counts]
    return counts, {name: [seconds(at) for at in problems] for name, seconds in placements.items()}


def draw_latency(counts: Sequence[int], curves: Curves, path: Path) -> None:
    """Write the curves to a picture; the suffix of ``path`` says which format."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, seconds in curves.items():
        axes.plot(counts, seconds, marker="o", markersize=3, label=name)
    axes.set(xlabel="clients", ylabel="seconds per step", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def draw_predictions(rehearsed: Sequence[RehearsedStep], path: Path) -> None:
    """Write predicted against measured seconds to a picture; on the line, both agree."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    longest = 1.1 * max(max(step.predicted_s, step.measured_s) for step in rehearsed)
    axes.fill_between([0, longest], [0, 0.85 * longest], [0, 1.15 * longest], alpha=0.15, label="within 15 %")
    axes.plot([0, longest], [0, longest], linewidth=1)
    measured = [step.measured_s for step in rehearsed]
    for label, marker, predicted in (
        ("blocks as fast as timed", "o", [step.predicted_s for step in rehearsed]),
        ("operations counted only", "x", [step.counted_s for step in rehearsed]),
    ):
        axes.scatter(measured, predicted, marker=marker, label=label)
    for step in rehearsed:
        place = (step.measured_s, step.predicted_s)
        axes.annotate(
            step.name,
            place,
            xytext=(-6, 6),
            textcoords="offset points",
            fontsize=8,
            ha="right",
            parse_math=False,
        )
    axes.set(xlabel="measured seconds per step", ylabel="predicted seconds per step")
    axes.set(xlim=(0, longest), ylim=(0, longest))
    axes.legend(loc="lower right")
    save_figure(figure, path)
