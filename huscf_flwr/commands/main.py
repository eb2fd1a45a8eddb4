"""The ``huscf`` command."""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.bench import bench_app
from huscf_flwr.commands.compare import compare_command
from huscf_flwr.commands.cuts import cuts_app
from huscf_flwr.commands.data import data_app
from huscf_flwr.commands.deploy import deploy_app
from huscf_flwr.commands.devices import devices_app
from huscf_flwr.commands.privacy import privacy_command
from huscf_flwr.commands.run import run_command
from huscf_flwr.commands.sample import sample_command
from huscf_flwr.commands.soak import soak_command

app = ExplainedTyper(
    no_args_is_help=True,
    add_completion=False,
    help="Train generative models on many devices that keep their images and labels.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"huscf-flwr {version('huscf-flwr')}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    asked: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    # A character that the terminal lacks is no reason to fail, whatever printed it.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


app.command("run")(run_command)
app.command("compare")(compare_command)
app.command("sample")(sample_command)
app.command("privacy")(privacy_command)
app.add_typer(data_app, name="data")
app.add_typer(cuts_app, name="cuts")
app.add_typer(devices_app, name="devices")
app.add_typer(bench_app, name="bench")
app.add_typer(deploy_app, name="deploy")
app.command("soak")(soak_command)
