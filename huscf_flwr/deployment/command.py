"""``huscf deploy``: what a deployment needs, and a whole one on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from huscf_flwr.config import load_config
from huscf_flwr.deployment.client_data import write_client_data
from huscf_flwr.deployment.credentials import make_node_key, make_server_credentials
from huscf_flwr.deployment.demo import run_deployed
from huscf_flwr.explained import explained
from huscf_flwr.flower_run import app_folder
from huscf_flwr.training.check import check_run
from huscf_flwr.training.display import TerminalDisplay
from huscf_flwr.training.interruption import stop_requests

deploy_app = typer.Typer(no_args_is_help=True, help="Certificates, keys and data for real devices; a demo.")

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override, such as rounds=3")
]
Scenario = Annotated[str, typer.Argument(metavar="CONFIG", help="a name in conf/runs, or a YAML file")]


@deploy_app.command()
def demo(config: Scenario = "deploy-demo", settings: Settings = None) -> None:
    """Run CONFIG on a SuperLink and SuperNodes of its own, with TLS and keys, all on this machine."""
    with explained():
        resolved = load_config(config, settings or ())
        display = TerminalDisplay()
        check_run(resolved, resolved.clients)
        with stop_requests() as stop:
            run_deployed(resolved, app_folder(), display=display, stop=stop)
        display.note(f"report: {resolved.folder / 'report.html'}")


@deploy_app.command()
def certificates(
    folder: Annotated[Path, typer.Argument(help="where ca.crt, server.pem and server.key go")],
    name: Annotated[list[str], typer.Option(help="DNS name or address of the server, as devices write it")],
    days: Annotated[int, typer.Option(help="how long they are valid")] = 365,
) -> None:
    """Make a certificate for the server; ca.crt goes to all devices, server.key to nobody."""
    with explained():
        made = make_server_credentials(folder.absolute(), name, days=days)
        for path in (made.authority, made.certificate, made.key):
            Console().print(str(path), highlight=False, soft_wrap=True)


@deploy_app.command()
def key(
    private: Annotated[
        Path, typer.Argument(metavar="FILE", help="its private half; FILE.pub is the public one")
    ],
) -> None:
    """Make a SuperNode's key, on its device; one that is there is kept."""
    with explained():
        made = make_node_key(private.absolute())
        Console().print(f"{made.private}\n{made.public}", highlight=False, soft_wrap=True)


@deploy_app.command()
def data(
    folder: Annotated[Path, typer.Argument(help="gets a folder client-<id> for each client")],
    config: Scenario = "deploy-demo",
    settings: Settings = None,
) -> None:
    """Write the images that CONFIG's virtual clients have as data folders of real ones."""
    with explained():
        for path in write_client_data(load_config(config, settings or ()), folder.absolute()).values():
            Console().print(str(path), highlight=False, soft_wrap=True)
