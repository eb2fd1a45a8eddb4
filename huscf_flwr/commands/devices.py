"""``huscf devices``: device profiles."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import BatchSize, ModelName, Width
from huscf_flwr.cuts.measure import measure_packing, measure_speed, profile_to_paste
from huscf_flwr.models import load_model_spec

_LEAST_BATCH = 2

devices_app = ExplainedTyper(help="Device profiles.", no_args_is_help=True)


@devices_app.command("measure")
def measure_command(
    name: Annotated[str, typer.Option("--name", help="name of the profile")] = "this-machine",
    mbit_per_s: Annotated[float, typer.Option("--mbit-per-s", help="your upload, not measured here")] = 100.0,
    model: ModelName = "authors-28",
    width: Width = 1.0,
    batch_size: BatchSize = 64,
) -> None:
    """Measure this machine in one step of the model and print a profile to paste into a device file."""
    with errors_as_messages():
        if batch_size < _LEAST_BATCH:
            raise ValueError(f"--batch-size {batch_size}: batches are normalised, which takes 2 images")
        if not 0 < mbit_per_s < math.inf:
            raise ValueError(f"--mbit-per-s {mbit_per_s:g}: give your upload in 1e6 bit per second")
        speed = measure_speed(load_model_spec(model, width), batch_size=batch_size)
        entry = profile_to_paste(name, speed, mbit_per_s, measure_packing())
    typer.echo(f"# {model}, width {width:g}, batch {batch_size}; a large matrix product runs at")
    typer.echo(f"# {speed.matrix_gflops:.4g} GFLOP/s. mbit_per_s is as given, not measured.")
    typer.echo(entry, nl=False)
