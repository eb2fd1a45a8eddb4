"""``huscf data``: a look at people's own images before anything is trained, and other formats for them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.data import LabelledImages, normalise
from huscf_flwr.data.findings import findings
from huscf_flwr.data.formats.found import Found, Wanted
from huscf_flwr.data.formats.places import format_of_place, read_place, shape_of_place
from huscf_flwr.data.formats.writing import write_place
from huscf_flwr.data.images import ImageForm
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.run_record import name_of

data_app = ExplainedTyper(
    no_args_is_help=True, help="Your own images: what is in them, and other formats for them."
)

_COLUMNS = 8
_ROWS = 20

Place = Annotated[
    Path, typer.Argument(metavar="PLACE", help="folder or file with images, in any known format")
]
Size = Annotated[int | None, typer.Option(min=1, help="bring images to so many pixels a side")]
FirstLabel = Annotated[int, typer.Option(min=0, help="what the files call class 0")]


class Form(StrEnum):
    """Formats that can be written."""

    PICTURES = "pictures"
    NPZ = "npz"
    CSV = "csv"
    IDX = "idx"


@data_app.command()
def check(
    place: Place,
    picture: Annotated[Path | None, typer.Option(help="PNG file for a picture of samples")] = None,
    size: Size = None,
    first_label: FirstLabel = 0,
) -> None:
    """Show what is found in PLACE before any training, and what is odd about it."""
    with errors_as_messages():
        console = Console()
        found, test = _read(place.expanduser(), size, first_label)
        shape = shape_of_place(place.expanduser())
        classes = max(_classes(found.train), _classes(test), len(found.class_names))
        kind = "grey" if shape.channels == 1 else "colour"
        low, high = int(found.train.images.min()), int(found.train.images.max())
        lines = [
            f"{place}: {format_of_place(place.expanduser())}",
            f"{len(found.train):,} training and {len(test):,} test images, {kind}, {shape.height} x "
            f"{shape.width} pixels (height first), from {low} to {high}",
        ]
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print(_table(found, test, classes))
        for note in found.notes:
            console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
        for odd in findings(found.train, test, classes, found.class_names):
            console.print(f"warning: {odd}", highlight=False, markup=False, soft_wrap=True)
        if picture is not None:
            _draw(found, picture)
            console.print(f"samples: {picture}", highlight=False, markup=False, soft_wrap=True)


@data_app.command()
def convert(
    place: Place,
    output: Annotated[Path, typer.Argument(help="folder, or .npz file, that is not there yet")],
    form: Annotated[Form, typer.Option("--to", help="format to write")],
    size: Size = None,
    first_label: FirstLabel = 0,
) -> None:
    """Write the images of PLACE in another format: training and test part, labels from 0."""
    with errors_as_messages():
        found, test = _read(place.expanduser(), size, first_label)
        write_place(output.expanduser(), form.value, found.train, test, found.class_names)
        for note in (
            *found.notes,
            f"{len(found.train):,} training and {len(test):,} test images in {output}",
        ):
            Console().print(note, highlight=False, markup=False, soft_wrap=True)


def _read(place: Path, size: int | None, first_label: int) -> tuple[Found, LabelledImages]:
    """Return what a place holds, and its test part; pictures of several sizes take their median's."""
    form = None
    shape = shape_of_place(place)
    if size is not None or format_of_place(place) == "folders of pictures":
        form = ImageForm(shape.channels, size or max(shape.height, shape.width))
    found = read_place(place, Wanted(form, first_label=first_label))
    return found, found.train.none if found.test is None else found.test


def _classes(data: LabelledImages) -> int:
    return int(data.labels.max()) + 1 if len(data) else 0


def _table(found: Found, test: LabelledImages, classes: int) -> Table:
    table = Table()
    table.add_column("label", justify="right")
    if found.class_names:
        table.add_column("class")
    table.add_column("training images", justify="right")
    table.add_column("test images", justify="right")
    counts = found.train.labels.bincount(minlength=classes), test.labels.bincount(minlength=classes)
    for label in range(classes):
        name = [Text(name_of(label, found.class_names))] if found.class_names else []
        table.add_row(str(label), *name, *(f"{int(count[label]):,}" for count in counts))
    return table


def _draw(found: Found, picture: Path) -> None:
    """Draw the first images of each class, a row a class."""
    rows, captions = [], []
    for label in torch.nonzero(found.train.labels.bincount())[:_ROWS, 0].tolist():
        places = torch.nonzero(found.train.labels == label)[:, 0]
        rows.append(found.train.images[places.repeat(_COLUMNS)[:_COLUMNS]])
        captions.append(name_of(label, found.class_names))
    sample_grid(picture, normalise(torch.cat(rows)), _COLUMNS, captions)
