"""The ``huscf`` command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from huscf_flwr.bench.command import bench_app
from huscf_flwr.config import load_config
from huscf_flwr.cuts.command import cuts_app, devices_app
from huscf_flwr.deployment.command import deploy_app
from huscf_flwr.explained import explained
from huscf_flwr.flower_run import app_folder, run_with_flower
from huscf_flwr.soak.command import soak_command
from huscf_flwr.training.check import check_run
from huscf_flwr.training.display import TerminalDisplay
from huscf_flwr.training.interruption import stop_requests
from huscf_flwr.training.local import train_locally
from huscf_flwr.training.sampling import draw_labelled_images

app = typer.Typer(no_args_is_help=True, add_completion=False, help="HuSCF-GAN on Flower.")
app.add_typer(cuts_app, name="cuts")
app.add_typer(devices_app, name="devices")
app.add_typer(bench_app, name="bench")
app.add_typer(deploy_app, name="deploy")
app.command("soak")(soak_command)


class Engine(StrEnum):
    """What moves the frames."""

    FLOWER = "flower"
    LOCAL = "local"


_DEFAULT_HOSTS = {Engine.FLOWER: 2, Engine.LOCAL: 1}


@app.callback()
def main() -> None:
    """Train one conditional GAN on many devices that keep their images and labels."""


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="a name in conf/runs, such as demo, or a YAML file")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override, such as rounds=3")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="flwr run, or all in one process")] = Engine.FLOWER,
    supernodes: Annotated[
        int | None, typer.Option(min=1, help="hosts of the clients: SuperNodes (2), or threads if local (1)")
    ] = None,
) -> None:
    """Train, judge, and write the run's folder with its report."""
    with explained():
        resolved = load_config(config, settings or ())
        display = TerminalDisplay()
        hosts = supernodes or _DEFAULT_HOSTS[engine]
        population = check_run(resolved, hosts)
        with stop_requests() as stop:
            if engine is Engine.LOCAL:
                train_locally(resolved, hosts=hosts, display=display, population=population, stop=stop)
            else:
                del population  # its processes load their own
                run_with_flower(resolved, app_folder(), supernodes=hosts, display=display, stop=stop)
        display.note(f"report: {resolved.folder / 'report.html'}")


@app.command()
def sample(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder")],
    label: Annotated[int, typer.Option(min=0, help="class of the images")],
    cluster: Annotated[int | None, typer.Option(help="cluster whose generator draws")] = None,
    domain: Annotated[str | None, typer.Option(help="instead of a cluster: the one of this domain")] = None,
    number: Annotated[int, typer.Option("-n", min=1, help="how many images")] = 64,
    output: Annotated[Path, typer.Option("-o", help="folder for the images")] = Path("samples"),
    seed: Annotated[int, typer.Option(min=0, help="other images for another seed")] = 0,
) -> None:
    """Draw labelled images from a trained generator: OUTPUT/<label>/<number>.png."""
    with explained():
        folder = draw_labelled_images(
            run_folder, label=label, count=number, output=output, cluster=cluster, domain=domain, seed=seed
        )
        Console().print(f"{number} images in {folder}", highlight=False)
