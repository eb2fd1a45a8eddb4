"""``huscf devices``: device profiles."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from huscf_flwr.bench.client_process import measure_clients
from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import BatchSize, Format, ModelName, OutputFormat, Width, print_json
from huscf_flwr.cuts.measure import measure_packing, measure_speed, profile_file
from huscf_flwr.models import load_model_spec
from huscf_flwr.process import keep_freed_memory
from huscf_flwr.run.terminal import say, terminal

devices_app = ExplainedTyper(help="Device profiles.", no_args_is_help=True)


@devices_app.command("measure")
def measure_command(
    name: Annotated[str, typer.Option("--name", help="name of the profile")] = "this-machine",
    mbit_per_s: Annotated[float, typer.Option("--mbit-per-s", help="your upload, not measured here")] = 100.0,
    delay_ms: Annotated[
        float,
        typer.Option("--delay-ms", min=0, help="half of a ping to the server, not measured here"),
    ] = 0.0,
    model: ModelName = "authors-28",
    width: Width = 1.0,
    batch_size: BatchSize = 64,
) -> None:
    """Measure this machine in one step of the model and print its profile, as a file for `device-profile`."""
    with errors_as_messages():
        if not 0 < mbit_per_s < math.inf:
            raise ValueError(f"--mbit-per-s {mbit_per_s:g}: give your upload in 1e6 bit per second")
        if not math.isfinite(delay_ms):
            raise ValueError(f"--delay-ms {delay_ms:g}: give it in 1e-3 seconds, one way")
        # As in a run, whose steps are measured so too.
        keep_freed_memory()
        speed = measure_speed(load_model_spec(model, width), batch_size=batch_size)
        packing_ns = measure_packing()
        profile = profile_file(name, speed, mbit_per_s=mbit_per_s, delay_ms=delay_ms, packing_ns=packing_ns)
    say(
        f"# {model}, width {width:g}, batch {batch_size}; a large matrix product runs at",
        f"# {speed.matrix_gflops:.4g} GFLOP/s. Of the link it has what was given, nothing is measured.",
        "# Where a whole federation is described (--devices, cuts.devices), the server's is wanted too:",
        "# server: {gflops: 200, mbit_per_s: 1000}",
        profile.rstrip("\n"),
    )


@devices_app.command("client")
def client_command(
    model: ModelName = "authors-28",
    width: Width = 1.0,
    batch_size: BatchSize = 64,
    steps: Annotated[int, typer.Option(min=1, help="lock-steps that each client trains")] = 3,
    output_format: OutputFormat = Format.TABLE,
) -> None:
    """Measure what a client's process takes here until its first step, and its memory, cut by cut."""
    with errors_as_messages():
        measured = measure_clients(model, width, batch_size, steps)
        if output_format is Format.JSON:
            print_json([asdict(found) for found in measured])
            return
        table = Table("process", "ready (s)", "of a core (s)", "loaded (MB)", "peak (MB)")
        for found in measured:
            seconds = (f"{each:.1f}" for each in (found.ready_s, found.core_s))
            megabytes = (f"{each / 1e6:.0f}" for each in (found.loaded_bytes, found.peak_bytes))
            table.add_row(found.name, *seconds, *megabytes)
    terminal().print(table)
