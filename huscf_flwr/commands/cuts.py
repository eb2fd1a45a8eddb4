"""``huscf cuts``: choose cuts and see why, compare solvers, and measure what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.bench.rehearsal import rehearse, varied_assignments
from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.cut_plot import draw_latency, draw_predictions, latency_curves
from huscf_flwr.commands.cut_tables import (
    benchmark_table,
    class_table,
    comparison_as_json,
    comparison_table,
    rehearsal_table,
    solution_as_json,
    stage_table,
    summary_line,
)
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import BatchSize, Force, Format, ModelName, OutputFormat, Width, print_json
from huscf_flwr.config import PRESETS, WirePreset
from huscf_flwr.cuts.benchmark import benchmark_genetic
from huscf_flwr.cuts.comparison import compare, without_slowest_class
from huscf_flwr.cuts.costs import FLOP_RULES, DiscriminatorWork, FlopRule
from huscf_flwr.cuts.devices import DeviceFile, deal, load_devices
from huscf_flwr.cuts.latency import LatencyOptions
from huscf_flwr.cuts.preset_choice import PresetChoice, choose_preset
from huscf_flwr.cuts.problem import CutProblem, CutSolver
from huscf_flwr.cuts.solvers import SOLVERS, FixedCuts, solver_named
from huscf_flwr.evaluation.figures import check_figure
from huscf_flwr.methods.huscf.private_work import embedding_work, noised_work
from huscf_flwr.models import Cut, ModelSpec, load_model_spec
from huscf_flwr.run.terminal import terminal
from huscf_flwr.session import sent_bytes_by

cuts_app = ExplainedTyper(help="Choose how much of each network every client keeps.")

_PAPER_BATCH = 64

Devices = Annotated[str, typer.Option("--devices", help="a name in conf/devices, or a file")]


@dataclass(frozen=True)
class _Asked:
    """What the user asked for, checked."""

    profiles: DeviceFile
    problem: CutProblem
    solver: CutSolver
    seed: int
    wire: PresetChoice


@cuts_app.callback(invoke_without_command=True)
def cuts_command(
    context: typer.Context,
    *,
    devices: Devices = "paper",
    clients: Annotated[int | None, typer.Option("--clients", help="number of clients")] = None,
    model: ModelName = "authors-28",
    width: Width = 1.0,
    flops: Annotated[
        str, typer.Option("--flops", help=f"rule of counting: {' or '.join(FLOP_RULES)}")
    ] = "exact",
    solver: Annotated[str, typer.Option("--solver", help=", ".join(SOLVERS))] = "exact",
    cut: Annotated[
        str,
        typer.Option(
            "--cut",
            help="for fixed: blocks kept in heads and tails, such as 2,1,2,1; by default the lightest",
        ),
    ] = "",
    batch_size: BatchSize = 64,
    seed: Annotated[int, typer.Option("--seed", help="of the genetic search")] = 0,
    output: OutputFormat = Format.TABLE,
    compare_all: Annotated[bool, typer.Option("--compare", help="all solvers and baselines")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="draw latency against clients here")] = None,
    server_link_shared: Annotated[
        bool, typer.Option("--server-link-shared", help="divide the server's link among the clients")
    ] = False,
    preset: Annotated[
        str,
        typer.Option("--preset", help=f"how numbers cross: auto, {', '.join(PRESETS)}; see wire.preset"),
    ] = "exact",
    steps_per_round: Annotated[
        int | None, typer.Option("--steps-per-round", help="add the transfer of segments once a round")
    ] = None,
    local_discriminator: Annotated[
        bool,
        typer.Option("--local-discriminator", help="clients keep all of it: privacy.local_discriminator"),
    ] = False,
    private_steps: Annotated[
        int,
        typer.Option("--private-steps", min=0, help="its steps with noise: privacy.discriminator_steps"),
    ] = 0,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="images in each of them: privacy.sample")
    ] = None,
    features: Annotated[
        int, typer.Option("--features", min=0, help="of an embedding in its place: privacy.features")
    ] = 0,
    force: Force = False,
) -> None:
    """Choose a cut for every client and show what a step costs.

    A cut is the number of blocks kept in generator head, generator tail, discriminator head and
    discriminator tail; each is at least 1. A local discriminator is a head of all blocks, and a tail of none.
    """
    if context.invoked_subcommand is not None:
        return
    with errors_as_messages():
        check_figure(plot, replaces=force)
        profiles = load_devices(devices)
        spec = load_model_spec(model, width)
        problem = CutProblem(
            spec,
            deal(profiles.devices, _given(clients)),
            profiles.server,
            batch_size,
            _flop_rule(flops),
            LatencyOptions(server_link_shared, steps_per_round),
            local_discriminator=local_discriminator or private_steps > 0 or features > 0,
            work=_work(spec, batch_size, private_steps, sample, features),
        )
        chosen_solver = _solver(solver, cut, problem)
        choice = _preset(preset, problem, chosen_solver, seed)
        problem = replace(problem, sent=sent_bytes_by(choice.preset))
        asked = _Asked(profiles, problem, chosen_solver, seed, choice)
        if compare_all:
            _show_comparison(asked, output)
        else:
            _show_solution(asked, output)
        if plot is not None:
            draw_latency(*latency_curves(problem, profiles.devices, asked.solver, seed=seed), plot)


def _work(
    spec: ModelSpec, batch_size: int, private_steps: int, sample: int | None, features: int
) -> DiscriminatorWork:
    """Return what clients compute of a discriminator; raises ``ValueError`` if they learn in two ways."""
    if features and private_steps:
        raise ValueError("--features and --private-steps are two ways to learn privately; leave one out")
    if sample is not None and not private_steps:
        raise ValueError(f"--sample is {sample}, but there are no --private-steps that would take one")
    if features:
        return embedding_work(spec, batch_size, features)
    if private_steps:
        return noised_work(spec, batch_size, private_steps, sample or batch_size)
    return DiscriminatorWork()


@cuts_app.command("benchmark")
def benchmark_command(
    clients: Annotated[int, typer.Option("--clients", help="number of clients")] = 100,
    devices: Devices = "paper",
    model: ModelName = "authors-28",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="searches with seeds 0, 1, ...")] = 10,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Time the genetic search at the paper's size against the authors' own and the proven optimum."""
    with errors_as_messages():
        profiles = load_devices(devices)
        dealt = deal(profiles.devices, clients)
        problem = CutProblem(load_model_spec(model), dealt, profiles.server, _PAPER_BATCH, "paper")
        searches = benchmark_genetic(problem, seeds=range(seeds))
    if output is Format.JSON:
        print_json({"searches": [search.as_json() for search in searches]})
    else:
        terminal().print(benchmark_table(searches))


@cuts_app.command("measure")
def measure_command(
    *,
    devices: Devices = "slow",
    clients: Annotated[
        int | None, typer.Option("--clients", help="number of clients; one for each device if not given")
    ] = None,
    model: ModelName = "authors-28",
    width: Width = 0.25,
    batch_size: BatchSize = 16,
    steps: Annotated[int, typer.Option("--steps", min=1, help="steps to time for each assignment")] = 6,
    preset: Annotated[
        str, typer.Option("--preset", help=f"how numbers cross: {', '.join(PRESETS)}; see wire.preset")
    ] = "exact",
    output: OutputFormat = Format.TABLE,
    plot: Annotated[Path | None, typer.Option("--plot", help="draw predicted against measured here")] = None,
    force: Force = False,
) -> None:
    """Run steps of the real split engine with emulated devices, and compare them with the prediction.

    Computation is stretched to the speed of each profile, and bytes wait for its link and as long as it would
    pack them. Choose devices that are slower than this machine: it computes for all of them, one after the
    other.
    """
    with errors_as_messages():
        check_figure(plot, replaces=force)
        profiles = load_devices(devices)
        dealt = deal(profiles.devices, len(profiles.devices) if clients is None else clients)
        crossing = _preset_named(preset, PRESETS)
        spec, sent = load_model_spec(model, width), sent_bytes_by(crossing)
        problem = CutProblem(spec, dealt, profiles.server, batch_size, sent=sent)
        rehearsed = rehearse(problem, varied_assignments(problem), steps=steps, preset=crossing)
        if plot is not None:
            draw_predictions(rehearsed, plot)
    if output is Format.JSON:
        print_json({"steps": [{**asdict(step), "error": step.error} for step in rehearsed]})
    else:
        terminal().print(rehearsal_table(rehearsed))


def _given(clients: int | None) -> int:
    if clients is None:
        raise ValueError("--clients is missing: give the number of clients, such as --clients 100")
    return clients


def _flop_rule(name: str) -> FlopRule:
    for rule in FLOP_RULES:
        if rule == name:
            return rule
    raise ValueError(f"--flops is '{name}'; choose one of {', '.join(FLOP_RULES)}")


def _preset(name: str, problem: CutProblem, solver: CutSolver, seed: int) -> PresetChoice:
    """Return how numbers cross, chosen together with the cuts if ``name`` is auto."""

    def step_seconds(preset: WirePreset) -> float:
        return solver.solve(replace(problem, sent=sent_bytes_by(preset)), seed=seed).latency_s

    if name == "auto":
        return choose_preset(step_seconds)
    return PresetChoice(_preset_named(name, ("auto", *PRESETS)), {})


def _preset_named(name: str, choices: Sequence[str]) -> WirePreset:
    for preset in PRESETS:
        if preset == name:
            return preset
    raise ValueError(f"--preset is '{name}'; choose one of {', '.join(choices)}")


def _solver(name: str, cut: str, problem: CutProblem) -> CutSolver:
    if name != "fixed":
        return solver_named(name)
    return FixedCuts(_parse_cut(cut) if cut else problem.cuts[0])


def _parse_cut(text: str) -> Cut:
    parts = text.split(",")
    if len(parts) != len(Cut._fields) or not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"--cut is '{text}'; give four numbers with commas, such as 1,1,1,1")
    return Cut(*map(int, parts))


def _show_solution(asked: _Asked, output: Format) -> None:
    solution = asked.solver.solve(asked.problem, seed=asked.seed)
    if output is Format.JSON:
        print_json(
            {
                **solution_as_json(asked.problem, solution),
                "wire": asked.wire.as_json() if asked.wire.step_s else {"preset": asked.wire.preset},
            }
        )
        return
    console = terminal()
    console.print(class_table(asked.problem, solution.cuts))
    console.print(stage_table(asked.problem, solution.cuts))
    console.print(summary_line(asked.problem, solution), highlight=False)
    if asked.wire.step_s:
        console.print(asked.wire.told(), highlight=False)


def _show_comparison(asked: _Asked, output: Format) -> None:
    lightest = FixedCuts(asked.problem.cuts[0])
    fixed = asked.solver if isinstance(asked.solver, FixedCuts) else lightest
    solvers = [fixed if name == "fixed" else solver_named(name) for name in SOLVERS]
    rest = without_slowest_class(asked.problem, asked.profiles)
    placements = compare(asked.problem, rest, solvers, seed=asked.seed)
    if output is Format.JSON:
        print_json(comparison_as_json(asked.problem, placements))
    else:
        terminal().print(comparison_table(asked.problem, placements))
