"""``huscf run``: train, judge, and write the run's folder."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import Overrides, RunName, read_run_config
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.flower.app import app_folder
from huscf_flwr.flower.launch import run_with_flower
from huscf_flwr.run.check import check_run
from huscf_flwr.run.display import TerminalDisplay
from huscf_flwr.run.interruption import stop_requests
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.mistakes import mistakes_told


class Engine(StrEnum):
    """What drives a run."""

    FLOWER = "flower"
    LOCAL = "local"


_DEFAULT_HOSTS = {Engine.FLOWER: 2, Engine.LOCAL: 1}


def run_command(
    config: RunName,
    settings: Overrides = None,
    engine: Annotated[Engine, typer.Option(help="flwr run, or all in one process")] = Engine.FLOWER,
    supernodes: Annotated[
        int | None, typer.Option(min=1, help="hosts of the clients: SuperNodes (2), or threads if local (1)")
    ] = None,
) -> None:
    """Train, judge, and write the run's folder with its report."""
    hosts = supernodes or _DEFAULT_HOSTS[engine]
    same_engine = ["--engine", engine.value, "--supernodes", str(hosts)]
    with errors_as_messages(["huscf", "run"], same_engine) as kept, TerminalDisplay() as display:
        with progress_told(Paced(display.note)):
            # Flower's processes read images and checkpoint again: what is wrong is told before they start.
            trains_here = engine is Engine.LOCAL
            checked = check_run(read_run_config(config, settings), hosts, trains_here=trains_here)
        folder = checked.config.folder
        app = app_folder() if engine is Engine.FLOWER else None
        kept.watch(folder)
        with stop_requests() as stop:
            if app is None:
                with mistakes_told():
                    train_locally(checked, hosts=hosts, display=display, stop=stop)
            else:
                if checked.networks is not None:
                    display.note(checked.networks)
                run = checked.asked
                del checked  # Flower's processes load their own images.
                run_with_flower(run, app, supernodes=hosts, display=display, stop=stop)
        display.note(f"report: {folder / 'report.html'}")
