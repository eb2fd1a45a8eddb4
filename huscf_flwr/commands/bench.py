"""``huscf bench``: how fast a step is, by itself and against the plain opponent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from huscf_flwr.bench.engines import CutChoice, Engine, bench_config, cuts_of, time_steps
from huscf_flwr.bench.exchange import CHANNELS, time_exchange
from huscf_flwr.bench.opponent import AUTHORS_MODEL, plain_opponent
from huscf_flwr.bench.population import PopulationPoint, measure_population
from huscf_flwr.bench.scale import COUNTS, ScalePoint, measure_scale, plot_scale
from huscf_flwr.bench.step import (
    matrix_gflops,
    median_ratio,
    mixed_cuts,
    plain_hash,
    random_batches,
    seconds_of,
    split_step,
    step_gflop,
)
from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.bench_encrypted import he
from huscf_flwr.commands.bench_links import links
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import (
    BatchSize,
    Force,
    Format,
    ModelName,
    OutputFormat,
    Overrides,
    RunName,
    Width,
    print_json,
)
from huscf_flwr.evaluation.figures import check_figure
from huscf_flwr.models import load_model_spec, model_spec_of
from huscf_flwr.process import device_of, keep_freed_memory
from huscf_flwr.run.metrics_line import WARM_UP_STEPS
from huscf_flwr.run.terminal import terminal

bench_app = ExplainedTyper(no_args_is_help=True, help="Measure speed on this machine.")


class Precision(StrEnum):
    """Of the computation."""

    FP32 = "fp32"
    BF16 = "bf16"

    @property
    def dtype(self) -> torch.dtype:
        """PyTorch's name of it."""
        return torch.float32 if self is Precision.FP32 else torch.bfloat16

    @property
    def setting(self) -> str:
        """Its name in the configuration."""
        return str(self.dtype).removeprefix("torch.")


class DeviceKind(StrEnum):
    """Where executor and clients compute."""

    CPU = "cpu"
    CUDA = "cuda"


class Wire(StrEnum):
    """How numbers cross: see ``wire.preset``."""

    EXACT = "exact"
    HALF = "half"
    SMALL = "small"
    SMALLEST = "smallest"


Clients = Annotated[int, typer.Option(min=1, help="clients with mixed cuts")]
Repeats = Annotated[int, typer.Option(min=1, help="steps that count, after three that do not")]
Computed = Annotated[Precision, typer.Option(help="of our step")]


@bench_app.command()
def step(
    clients: Clients = 8,
    batch_size: BatchSize = 64,
    model: ModelName = AUTHORS_MODEL,
    width: Width = 1.0,
    precision: Computed = Precision.FP32,
    device: Annotated[DeviceKind, typer.Option(help="of executor and clients")] = DeviceKind.CPU,
    wire: Annotated[Wire, typer.Option(help="how numbers cross")] = Wire.EXACT,
    engine: Annotated[
        Engine, typer.Option(help="one process, several over gRPC, or flwr run")
    ] = Engine.LOCAL,
    hosts: Annotated[int, typer.Option(min=1, help="processes or SuperNodes of the clients")] = 2,
    chosen: Annotated[
        CutChoice, typer.Option("--cuts", help="mixed, or chosen for the paper's devices")
    ] = CutChoice.MIXED,
    shared_memory: Annotated[
        bool, typer.Option(help="let frames between processes cross by shared memory")
    ] = True,
    repeats: Repeats = 10,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Time steps of the split engine."""
    with errors_as_messages():
        config = bench_config(
            {
                "clients": clients,
                "batch_size": batch_size,
                "rounds": 1,
                "local_epochs": 1,
                "model.spec": model,
                "model.width": width,
                "compute.device": device.value,
                "compute.precision": precision.setting,
                "wire.preset": wire.value,
                "executor.shared_memory": shared_memory,
                "cuts.solver": None if chosen is CutChoice.MIXED else chosen,
                "evaluation.every": 0,
                "evaluation.synthetic_images": 0,
            }
        )
        cuts = cuts_of(config, chosen)
        if engine is Engine.FLOWER and chosen is CutChoice.MIXED:
            raise ValueError(
                "--cuts mixed: a run through Flower chooses its cuts; take exact, for both engines"
            )
        timed = time_steps(engine, config, cuts, hosts=hosts, repeats=repeats)
    computed_on = device_of(config.compute)
    # The matrix products below take memory of the device too; through Flower, other processes do.
    device_memory = {} if engine is Engine.FLOWER else _device_memory(computed_on)
    gflops = step_gflop(model_spec_of(config), cuts, batch_size) / timed.seconds
    peak = matrix_gflops(precision.dtype, computed_on)
    _show(
        {
            "engine": engine.value,
            "hosts": 1 if engine is Engine.LOCAL else hosts,
            "clients": clients,
            "batch_size": batch_size,
            "cuts": chosen.value,
            "device": _device_name(computed_on),
            "precision": precision.value,
            "wire": wire.value,
            "shared_memory": shared_memory and engine is not Engine.LOCAL,
            "threads": torch.get_num_threads(),
            "seconds": timed.seconds,
            "seconds_min": timed.seconds_min,
            "seconds_max": timed.seconds_max,
            "images_per_second": clients * batch_size / timed.seconds,
            "gflops": gflops,
            "matrix_product_gflops": peak,
            "share_of_matrix_product": gflops / peak,
            "bytes_per_step": timed.bytes_per_step,
            "peak_memory_bytes": timed.peak_memory_bytes,
            **device_memory,
        },
        output,
    )


@bench_app.command(name="plain")
def against_plain(
    clients: Clients = 8,
    batch_size: BatchSize = 64,
    precision: Computed = Precision.FP32,
    repeats: Repeats = 10,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Time our step and the same step in the plainest PyTorch (float32), each in its process, in turn."""
    keep_freed_memory()
    with errors_as_messages():
        spec = load_model_spec(AUTHORS_MODEL)
        cuts = mixed_cuts(spec, clients)
        batches = random_batches(spec, clients, batch_size)
        ours, _ = split_step(spec, cuts, batches, precision.dtype)
        with plain_opponent(clients, batch_size) as plain:
            slow, fast = seconds_of([plain, ours], repeats=repeats, warm_up=WARM_UP_STEPS)
    _show(
        {
            "clients": clients,
            "batch_size": batch_size,
            "precision": precision.value,
            "threads": torch.get_num_threads(),
            "plain_seconds": median(slow),
            "seconds": median(fast),
            "ratio": median_ratio(slow, fast),
            "ratio_min": min(a / b for a, b in zip(slow, fast, strict=True)),
            "ratio_max": max(a / b for a, b in zip(slow, fast, strict=True)),
            "plain_sha256": plain_hash(),
        },
        output,
    )


@bench_app.command()
def scale(
    clients: Annotated[
        str, typer.Option(help="numbers of clients, such as 8,64,1000; one process for each")
    ] = ",".join(map(str, COUNTS)),
    batch_size: BatchSize = 8,
    steps: Annotated[int, typer.Option(min=3, help="steps of the round; the first does not count")] = 8,
    plot: Annotated[Path | None, typer.Option(help="write a picture, such as scale.png")] = None,
    output: OutputFormat = Format.TABLE,
    force: Force = False,
) -> None:
    """Time a whole round of the demo's networks with more and more clients, and weigh its memory."""
    threads = torch.get_num_threads()
    with errors_as_messages():
        check_figure(plot, replaces=force)
        points = measure_scale(_counts(clients), batch_size=batch_size, steps=steps, threads=threads)
        if plot is not None:
            plot_scale(points, plot)
    if output is Format.JSON:
        print_json(
            {"batch_size": batch_size, "threads": threads, "points": [asdict(point) for point in points]}
        )
        return
    columns: dict[str, Callable[[ScalePoint], str]] = {
        "clients": lambda point: f"{point.clients:,}",
        "ms per client-step": lambda point: f"{1e3 * point.step_seconds:.1f}",
        "of one core": lambda point: f"{1e3 * point.processor_seconds:.1f}",
        "round, s": lambda point: f"{point.round_seconds:.1f}",
        "before its steps": lambda point: f"{point.before_seconds:.1f}",
        "after them": lambda point: f"{point.after_seconds:.1f}",
        "peak, GB": lambda point: f"{point.peak_memory_bytes / 1e9:.2f}",
        "MB per client": lambda point: f"{point.memory_per_client_bytes / 1e6:.1f}",
        "of which state": lambda point: f"{point.state_per_client_bytes / 1e6:.1f}",
    }
    table = Table(*columns)
    for point in points:
        table.add_row(*(shown(point) for shown in columns.values()))
    terminal().print(table)


@bench_app.command()
def population(
    config: RunName = "demo",
    clients: Annotated[
        str, typer.Option(help="numbers of clients, such as 100,1000,10000; one process for each")
    ] = "100,1000,10000",
    in_a_round: Annotated[int, typer.Option(min=1, help="clients that take part in a round")] = 100,
    rounds: Annotated[int, typer.Option(min=2, help="rounds of each run; the first does not count")] = 10,
    overrides: Overrides = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Run CONFIG with more and more clients, of which equally many take part in a round."""
    with errors_as_messages():
        points = measure_population(
            _counts(clients), in_a_round=in_a_round, rounds=rounds, config=config, overrides=overrides or ()
        )
    if output is Format.JSON:
        print_json({"points": [asdict(point) for point in points]})
        return
    columns: dict[str, Callable[[PopulationPoint], str]] = {
        "clients": lambda point: f"{point.clients:,}",
        "in a round": lambda point: f"{point.in_a_round:,}",
        "start, s": lambda point: f"{point.start_seconds:.1f}",
        "round, s": lambda point: f"{point.round_seconds:.2f}",
        "not training": lambda point: f"{1 - point.training_share:.0%}",
        "end, s": lambda point: f"{point.end_seconds:.1f}",
        "peak, GB": lambda point: f"{point.peak_memory_bytes / 1e9:.2f}",
        "growth, MB": lambda point: f"{point.growth_bytes / 1e6:.0f}",
        "disk, GB": lambda point: f"{point.disk_bytes / 1e9:.2f}",
    }
    table = Table(*columns)
    for point in points:
        table.add_row(*(shown(point) for shown in columns.values()))
    terminal().print(table)


def _counts(listed: str) -> list[int]:
    try:
        counts = [int(part) for part in listed.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"'{listed}': give whole numbers from one, such as 8,64,1000")
    return counts


@bench_app.command()
def exchange(
    clients: Clients = 8,
    batch_size: BatchSize = 64,
    model: ModelName = AUTHORS_MODEL,
    width: Width = 1.0,
    repeats: Annotated[int, typer.Option(min=1, help="steps that count, after one that does not")] = 5,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Time one step's traffic of float32 by channel and preset: only what packs numbers computes."""
    keep_freed_memory()
    with errors_as_messages():
        spec = load_model_spec(model, width)
        cuts = mixed_cuts(spec, clients)
        timed = [
            time_exchange(channel, spec, cuts, batch_size, wire.value, repeats)
            for channel in CHANNELS
            for wire in Wire
        ]
    if output is Format.JSON:
        rows = [{**asdict(each), "megabytes_per_second": each.megabytes_per_second} for each in timed]
        print_json({"clients": clients, "batch_size": batch_size, "traffic": rows})
        return
    table = Table("channel", "preset", title=f"One step of {clients} clients, batch {batch_size}")
    for heading in ("MB", "seconds", "core seconds", "MB/s"):
        table.add_column(heading, justify="right")
    for each in timed:
        table.add_row(
            *(each.channel, each.preset, f"{each.bytes_per_step / 1e6:.1f}"),
            *(f"{each.seconds:.3f}", f"{each.core_seconds:.3f}", f"{each.megabytes_per_second:.0f}"),
        )
    terminal().print(table)


bench_app.command()(he)
bench_app.command()(links)


def _device_name(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def _device_memory(device: torch.device) -> dict[str, int]:
    """Return the most memory that this process held on ``device``, if that is not the CPU."""
    if device.type == "cpu":
        return {}
    return {"peak_device_memory_bytes": torch.cuda.max_memory_reserved(device)}


def _show(figures: dict[str, Any], output: Format) -> None:
    if output is Format.JSON:
        print_json(figures)
        return
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(
            name.replace("_", " "),
            f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value,
        )
    terminal().print(table)
