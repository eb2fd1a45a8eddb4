"""``huscf sample``: draw labelled images from a trained generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import Force, check_is_run
from huscf_flwr.run.sampling import draw_labelled_images
from huscf_flwr.run.terminal import say


def sample_command(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder")],
    label: Annotated[str, typer.Option(help="class of the images: its number, or its name")],
    product: Annotated[
        str | None, typer.Option(help="what draws, such as cluster-0; not needed if there is only one")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="instead: the product judged for this domain")] = None,
    number: Annotated[int, typer.Option("-n", min=1, help="how many images")] = 64,
    output: Annotated[Path, typer.Option("-o", help="folder for the images")] = Path("samples"),
    seed: Annotated[int, typer.Option(min=0, help="other images for another seed")] = 0,
    force: Force = False,
) -> None:
    """Draw labelled images from a trained generator: OUTPUT/<class>/<number>.png."""
    with errors_as_messages():
        check_is_run(run_folder)
        folder = draw_labelled_images(
            run_folder,
            label=label,
            count=number,
            output=output,
            product=product,
            domain=domain,
            seed=seed,
            replace=force,
        )
        say(f"{number} images in {folder}")
