"""The ``huscf`` command."""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from huscf_flwr.commands.on_demand import Place, on_demand
from huscf_flwr.run.terminal import say

app = on_demand(
    help_text="Train generative models on many devices that keep their images and labels.",
    places={
        "run": Place("run", "run_command", "simulation"),
        "settings": Place("settings", "settings_command"),
        "compare": Place("compare", "compare_command", "simulation"),
        "sample": Place("sample", "sample_command", "server"),
        "privacy": Place("privacy", "privacy_command", "simulation"),
        "soak": Place("soak", "soak_command", "simulation"),
        "data": Place("data", "data_app", "simulation"),
        "cuts": Place("cuts", "cuts_app", "server"),
        "devices": Place("devices", "devices_app"),
        "bench": Place("bench", "bench_app", "simulation"),
        "deploy": Place("deploy", "deploy_app"),
    },
)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"huscf-flwr {version('huscf-flwr')}")
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
