"""The ``huscf`` command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from huscf_flwr.bench.command import bench_app
from huscf_flwr.config import load_config
from huscf_flwr.cuts.command import cuts_app, devices_app
from huscf_flwr.flower_run import run_with_flower
from huscf_flwr.soak.command import soak_command
from huscf_flwr.training.check import check_run
from huscf_flwr.training.display import TerminalDisplay
from huscf_flwr.training.interruption import InterruptedRunError, stop_requests
from huscf_flwr.training.local import train_locally
from huscf_flwr.training.sampling import draw_labelled_images

app = typer.Typer(no_args_is_help=True, add_completion=False, help="HuSCF-GAN on Flower.")
app.add_typer(cuts_app, name="cuts")
app.add_typer(devices_app, name="devices")
app.add_typer(bench_app, name="bench")
app.command("soak")(soak_command)

_APP_FOLDER = Path(__file__).resolve().parent.parent


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
    with _explained():
        resolved = load_config(config, settings or ())
        display = TerminalDisplay()
        hosts = supernodes or _DEFAULT_HOSTS[engine]
        population = check_run(resolved, hosts)
        with stop_requests() as stop:
            if engine is Engine.LOCAL:
                train_locally(resolved, hosts=hosts, display=display, population=population, stop=stop)
            else:
                del population  # its processes load their own
                run_with_flower(resolved, _app_folder(), supernodes=hosts, display=display, stop=stop)
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
    with _explained():
        folder = draw_labelled_images(
            run_folder, label=label, count=number, output=output, cluster=cluster, domain=domain, seed=seed
        )
        Console().print(f"{number} images in {folder}", highlight=False)


@contextmanager
def _explained() -> Iterator[None]:
    """Show errors that a user can act on as a message, without a traceback."""
    try:
        yield
    except InterruptedRunError as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(stopped.exit_code) from stopped
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(str(error) or type(error).__name__, err=True)
        raise typer.Exit(2) from error


def _app_folder() -> Path:
    if not (_APP_FOLDER / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"--engine flower needs a checkout of huscf-flwr, and {_APP_FOLDER} is none; use --engine local"
        )
    return _APP_FOLDER
