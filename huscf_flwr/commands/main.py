"""The ``huscf`` command."""

from __future__ import annotations

import typer

from huscf_flwr.commands.bench import bench_app
from huscf_flwr.commands.compare import compare_command
from huscf_flwr.commands.cuts import cuts_app
from huscf_flwr.commands.data import data_app
from huscf_flwr.commands.deploy import deploy_app
from huscf_flwr.commands.devices import devices_app
from huscf_flwr.commands.run import run_command
from huscf_flwr.commands.sample import sample_command
from huscf_flwr.commands.soak import soak_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Train generative models on many devices that keep their images and labels.",
)
app.command("run")(run_command)
app.command("compare")(compare_command)
app.command("sample")(sample_command)
app.add_typer(data_app, name="data")
app.add_typer(cuts_app, name="cuts")
app.add_typer(devices_app, name="devices")
app.add_typer(bench_app, name="bench")
app.add_typer(deploy_app, name="deploy")
app.command("soak")(soak_command)
