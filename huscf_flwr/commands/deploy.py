"""``huscf deploy``: what a deployment needs, and a whole one on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import Force, Overrides, RunName, read_run_config
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.deployment import make_node_key, make_server_credentials, run_deployed, write_client_data
from huscf_flwr.flower.launch import app_folder
from huscf_flwr.run.check import check_run
from huscf_flwr.run.display import TerminalDisplay
from huscf_flwr.run.interruption import stop_requests

deploy_app = ExplainedTyper(
    no_args_is_help=True, help="Certificates, keys and data for real devices; a demo."
)


@deploy_app.command()
def demo(config: RunName = "deploy-demo", settings: Overrides = None) -> None:
    """Run CONFIG on a SuperLink and SuperNodes of its own, with TLS and keys, all on this machine."""
    with errors_as_messages(["huscf", "deploy", "demo"]) as kept, TerminalDisplay() as display:
        run = read_run_config(config, settings)
        with progress_told(Paced(display.note)):
            check_run(run, run.clients, examine=False)
        app = app_folder()
        kept.watch(run.folder)
        with stop_requests() as stop:
            run_deployed(run, app, display=display, stop=stop)
        display.note(f"report: {run.folder / 'report.html'}")


@deploy_app.command()
def certificates(
    folder: Annotated[Path, typer.Argument(help="where ca.crt, server.pem and server.key go")],
    name: Annotated[list[str], typer.Option(help="DNS name or address of the server, as devices write it")],
    days: Annotated[int, typer.Option(help="how long they are valid")] = 365,
    force: Force = False,
) -> None:
    """Make a certificate for the server; ca.crt goes to all devices, server.key stays here."""
    with errors_as_messages():
        made = make_server_credentials(folder.absolute(), name, days=days, replace=force)
        _print_paths(made.authority, made.certificate, made.key)


@deploy_app.command()
def key(
    private: Annotated[
        Path, typer.Argument(metavar="FILE", help="its private half; FILE.pub is the public one")
    ],
) -> None:
    """Make a SuperNode's key, on its device; one that is there is kept."""
    with errors_as_messages():
        made = make_node_key(private.absolute())
        _print_paths(made.private, made.public)


@deploy_app.command()
def data(
    folder: Annotated[Path, typer.Argument(help="gets a folder client-<id> for each client")],
    config: RunName = "deploy-demo",
    settings: Overrides = None,
    force: Force = False,
) -> None:
    """Write the images that CONFIG's virtual clients have as data folders of real ones."""
    with errors_as_messages():
        run = read_run_config(config, settings)
        with progress_told(Paced(typer.echo)):
            written = write_client_data(run, folder.absolute(), replace=force)
        _print_paths(*written.values())


def _print_paths(*paths: Path) -> None:
    for path in paths:
        Console().print(str(path), highlight=False, markup=False, soft_wrap=True)
