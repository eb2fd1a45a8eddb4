"""``huscf deploy``: what a deployment needs, and a whole one on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.on_demand import Place, on_demand
from huscf_flwr.commands.options import Force, Overrides, RunName, read_run_config
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.deployment import (
    ClientFolders,
    make_node_key,
    make_server_credentials,
    write_client_data,
)
from huscf_flwr.flower.app import write_app
from huscf_flwr.flower.run_settings import toml_value
from huscf_flwr.run.terminal import say

deploy_app = on_demand(
    help_text="Certificates, keys, data and the app for real devices; a check; a demo.",
    places={
        "demo": Place("deploy_demo", "deploy_demo_command", "simulation"),
        "check": Place("deploy_check", "deploy_check_command"),
    },
)


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
        with progress_told(Paced(say)):
            written = write_client_data(run, folder.absolute(), replace=force)
        _print_paths(*written.paths.values())
        say(*(f"note: {note}" for note in written.notes))
        say(f"note: to look at one of them: huscf data check FOLDER --classes {written.classes}")
        _say_settings(written)
        _say_names(written)


@deploy_app.command("app")
def app_command(
    folder: Annotated[Path, typer.Argument(help="gets the Flower app: flwr run FOLDER devices")],
) -> None:
    """Write the Flower app into FOLDER, for flwr run where there is no copy of the repository."""
    with errors_as_messages():
        _print_paths(write_app(folder.absolute()))


def _print_paths(*paths: Path) -> None:
    say(*map(str, paths))


def _say_settings(written: ClientFolders) -> None:
    """Say which settings a run on the folders needs that the images have said here."""
    if written.settings:
        settings = " ".join(f"{name}={value}" for name, value in written.settings.items())
        say(f"note: a run on these folders needs {settings}, since its server sees no image")


def _say_names(written: ClientFolders) -> None:
    """Say what each client's node config has to say of the names of classes, those alike in one line."""
    clients: dict[tuple[str, ...], list[int]] = {}
    for client, names in written.class_names.items():
        clients.setdefault(names, []).append(client)
    for names, told in clients.items():
        said = f"class-names={toml_value(','.join(names))}"
        say(f"node config of client {', '.join(map(str, told))}, for the names of classes: {said}")
