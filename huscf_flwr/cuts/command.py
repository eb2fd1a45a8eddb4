"""``huscf cuts`` and ``huscf devices``: choose cuts and see why, compare solvers, measure a machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from huscf_flwr.cuts.benchmark import benchmark_genetic
from huscf_flwr.cuts.comparison import compare, without_slowest_class
from huscf_flwr.cuts.costs import FLOP_RULES, FlopRule
from huscf_flwr.cuts.devices import DeviceFile, deal, load_devices
from huscf_flwr.cuts.latency import LatencyOptions
from huscf_flwr.cuts.measure import measure_speed, profile_to_paste
from huscf_flwr.cuts.plot import draw_latency, draw_predictions, latency_curves
from huscf_flwr.cuts.problem import CutProblem, CutSolver
from huscf_flwr.cuts.report import (
    benchmark_table,
    class_table,
    comparison_as_json,
    comparison_table,
    rehearsal_table,
    solution_as_json,
    stage_table,
    summary_line,
)
from huscf_flwr.cuts.solvers import SOLVERS, FixedCuts, solver_named
from huscf_flwr.models import Cut, load_model_spec
from huscf_flwr.training.rehearsal import rehearse, varied_assignments

cuts_app = typer.Typer(help="Choose how much of each network every client keeps.")
devices_app = typer.Typer(help="Device profiles.", no_args_is_help=True)

_PAPER_BATCH = 64

DevicesOption = Annotated[
    str, typer.Option("--devices", help="Device file, or the name of one in conf/devices.")
]
ModelOption = Annotated[str, typer.Option("--model", help="Model file, or the name of one in conf/models.")]
WidthOption = Annotated[float, typer.Option("--width", help="Multiplies the channels of the model.")]
BatchOption = Annotated[int, typer.Option("--batch-size", help="Samples per client and step.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the genetic search.")]
FlopsOption = Annotated[str, typer.Option("--flops", help=f"Rule of counting: {' or '.join(FLOP_RULES)}.")]
FormatOption = Annotated[str, typer.Option("--format", help="table or json.")]


@dataclass(frozen=True)
class _Asked:
    """What the user asked for, checked."""

    profiles: DeviceFile
    problem: CutProblem
    solver: CutSolver
    seed: int


@cuts_app.callback(invoke_without_command=True)
def cuts_command(
    context: typer.Context,
    *,
    devices: DevicesOption = "paper",
    clients: Annotated[int | None, typer.Option("--clients", help="Number of clients.")] = None,
    model: ModelOption = "authors-28",
    width: WidthOption = 1.0,
    flops: FlopsOption = "exact",
    solver: Annotated[str, typer.Option("--solver", help=", ".join(SOLVERS) + ".")] = "exact",
    cut: Annotated[
        str, typer.Option("--cut", help="For fixed: blocks kept in the two heads and tails, such as 2,1,2,1.")
    ] = "1,1,1,1",
    batch_size: BatchOption = 64,
    seed: SeedOption = 0,
    output: FormatOption = "table",
    compare_all: Annotated[bool, typer.Option("--compare", help="All solvers and baselines.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw latency against clients here.")] = None,
    server_link_shared: Annotated[
        bool, typer.Option("--server-link-shared", help="Divide the server's link among the clients.")
    ] = False,
    steps_per_round: Annotated[
        int | None, typer.Option("--steps-per-round", help="Add the transfer of segments once a round.")
    ] = None,
) -> None:
    """Choose a cut for every client and show what a step costs.

    A cut is the number of blocks kept in generator head, generator tail, discriminator head and
    discriminator tail; each is at least 1.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        options = LatencyOptions(server_link_shared, steps_per_round)
        profiles = load_devices(devices)
        problem = CutProblem(
            load_model_spec(model, width),
            deal(profiles.devices, _given(clients)),
            profiles.server,
            batch_size,
            _flop_rule(flops),
            options,
        )
        asked = _Asked(profiles, problem, _solver(solver, cut), seed)
        _check_format(output)
        if compare_all:
            _show_comparison(asked, output)
        else:
            _show_solution(asked, output)
        if plot is not None:
            draw_latency(*latency_curves(problem, profiles.devices, asked.solver, seed=seed), plot)
    except (ValueError, OSError) as error:
        _refuse(error)


@cuts_app.command("benchmark")
def benchmark_command(
    clients: Annotated[int, typer.Option("--clients", help="Number of clients.")] = 100,
    devices: DevicesOption = "paper",
    model: ModelOption = "authors-28",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Searches with seeds 0, 1, ...")] = 10,
    output: FormatOption = "table",
) -> None:
    """Time the genetic search at the paper's size against the authors' own and the proven optimum."""
    try:
        _check_format(output)
        profiles = load_devices(devices)
        dealt = deal(profiles.devices, clients)
        problem = CutProblem(load_model_spec(model), dealt, profiles.server, _PAPER_BATCH, "paper")
        searches = benchmark_genetic(problem, seeds=range(seeds))
    except (ValueError, OSError) as error:
        _refuse(error)
    if output == "json":
        _print_json({"searches": [search.as_json() for search in searches]})
    else:
        Console().print(benchmark_table(searches))


@cuts_app.command("measure")
def rehearse_command(
    *,
    devices: DevicesOption = "slow",
    clients: Annotated[
        int | None, typer.Option("--clients", help="Number of clients; one for each device if not given.")
    ] = None,
    model: ModelOption = "authors-28",
    width: WidthOption = 0.25,
    batch_size: BatchOption = 16,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps to time for each assignment.")] = 6,
    output: FormatOption = "table",
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw predicted against measured here.")] = None,
) -> None:
    """Run steps of the real split engine with emulated devices, and compare them with the prediction.

    Computation is stretched to the speed of each profile and bytes wait for its link. Choose devices that
    are slower than this machine: it computes for all of them, one after the other.
    """
    try:
        _check_format(output)
        profiles = load_devices(devices)
        dealt = deal(profiles.devices, len(profiles.devices) if clients is None else clients)
        problem = CutProblem(load_model_spec(model, width), dealt, profiles.server, batch_size)
        rehearsed = rehearse(problem, varied_assignments(problem), steps=steps)
        if plot is not None:
            draw_predictions(rehearsed, plot)
    except (ValueError, OSError) as error:
        _refuse(error)
    if output == "json":
        _print_json({"steps": [{**asdict(step), "error": step.error} for step in rehearsed]})
    else:
        Console().print(rehearsal_table(rehearsed))


@devices_app.command("measure")
def measure_command(
    name: Annotated[str, typer.Option("--name", help="Name of the profile.")] = "this-machine",
    mbit_per_s: Annotated[
        float, typer.Option("--mbit-per-s", help="Your upload, not measured here.")
    ] = 100.0,
    model: ModelOption = "authors-28",
    width: WidthOption = 1.0,
    batch_size: BatchOption = 64,
) -> None:
    """Measure this machine in one step of the model and print a profile to paste into a device file."""
    try:
        speed = measure_speed(load_model_spec(model, width), batch_size=batch_size)
        entry = profile_to_paste(name, speed, mbit_per_s)
    except (ValueError, OSError) as error:
        _refuse(error)
    typer.echo(f"# {model}, width {width:g}, batch {batch_size}; a large matrix product runs at")
    typer.echo(f"# {speed.matrix_gflops:.4g} GFLOP/s. mbit_per_s is as given, not measured.")
    typer.echo(entry, nl=False)


def _given(clients: int | None) -> int:
    if clients is None:
        raise ValueError("--clients is missing: give the number of clients, such as --clients 100")
    return clients


def _flop_rule(name: str) -> FlopRule:
    for rule in FLOP_RULES:
        if rule == name:
            return rule
    raise ValueError(f"--flops is '{name}'; choose one of {', '.join(FLOP_RULES)}")


def _solver(name: str, cut: str) -> CutSolver:
    return FixedCuts(_parse_cut(cut)) if name == "fixed" else solver_named(name)


def _parse_cut(text: str) -> Cut:
    parts = text.split(",")
    if len(parts) != len(Cut._fields) or not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"--cut is '{text}'; give four numbers with commas, such as 1,1,1,1")
    return Cut(*map(int, parts))


def _check_format(output: str) -> None:
    if output not in {"table", "json"}:
        raise ValueError(f"--format is '{output}'; choose table or json")


def _show_solution(asked: _Asked, output: str) -> None:
    solution = asked.solver.solve(asked.problem, seed=asked.seed)
    if output == "json":
        _print_json(solution_as_json(asked.problem, solution))
        return
    console = Console()
    console.print(class_table(asked.problem, solution.cuts))
    console.print(stage_table(asked.problem, solution.cuts))
    console.print(summary_line(asked.problem, solution), highlight=False)


def _show_comparison(asked: _Asked, output: str) -> None:
    fixed = asked.solver if isinstance(asked.solver, FixedCuts) else FixedCuts()
    solvers = [fixed if name == "fixed" else solver_named(name) for name in SOLVERS]
    rest = without_slowest_class(asked.problem, asked.profiles)
    placements = compare(asked.problem, rest, solvers, seed=asked.seed)
    if output == "json":
        _print_json(comparison_as_json(asked.problem, placements))
    else:
        Console().print(comparison_table(asked.problem, placements))


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content))


def _refuse(error: Exception) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(code=2)
