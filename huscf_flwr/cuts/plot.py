"""Latency against the number of clients, as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from huscf_flwr.cuts.baselines import discriminator_on_client, full_networks_on_client
from huscf_flwr.cuts.devices import Device, deal
from huscf_flwr.cuts.problem import CutProblem, CutSolver
from huscf_flwr.models import Cut

_POINTS = 12

Curves = dict[str, list[float]]


def latency_curves(
    problem: CutProblem, profiles: Sequence[Device], solver: CutSolver, *, seed: int
) -> tuple[list[int], Curves]:
    """Return numbers of clients up to that of ``problem``, and the step time of each placement at them."""
    counts = np.unique(np.linspace(1, len(problem.devices), _POINTS).round().astype(int)).tolist()
    placements: dict[str, Callable[[CutProblem], float]] = {
        f"cuts by {solver.name}": lambda at: solver.solve(at, seed=seed).latency_s,
        "lightest cut everywhere": lambda at: at.latency([Cut()] * len(at.devices)),
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
    figure.savefig(path, dpi=150)
