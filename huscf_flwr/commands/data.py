"""``huscf data``: a look at people's own images before anything is trained, and other formats for them."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table
from rich.text import Text

from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import Force
from huscf_flwr.conf_files import validate
from huscf_flwr.data import DomainSource, LabelledImages, normalise
from huscf_flwr.data.findings import findings
from huscf_flwr.data.formats.choice import Place, place_named
from huscf_flwr.data.formats.damage import DamagedPicturesError
from huscf_flwr.data.formats.found import (
    FITTED,
    FirstLabelError,
    Found,
    ImageShape,
    VariedSizesError,
    Wanted,
    form_notes,
)
from huscf_flwr.data.formats.holders import read_holders, shape_of_holders
from huscf_flwr.data.formats.places import format_of_place, read_place, shape_of_place
from huscf_flwr.data.formats.writing import check_writable, write_place
from huscf_flwr.data.images import DataError, Fit, ImageForm
from huscf_flwr.data.images import convert as convert_images
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.run_record import name_of
from huscf_flwr.existing import check_outputs
from huscf_flwr.naming import by_count
from huscf_flwr.run.terminal import say, terminal

data_app = ExplainedTyper(
    no_args_is_help=True, help="Your own images: what is in them, and other formats for them."
)

_COLUMNS = 8
_ROWS = 20

PlaceName = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="folder or file with images, in any known format; hub:NAME is a data set on Hugging Face's hub",
    ),
]
Size = Annotated[int | None, typer.Option(min=1, max=2048, help="bring images to so many pixels a side")]


class Fitting(StrEnum):
    """How images that are not square become so."""

    PAD = "pad"
    CROP = "crop"
    STRETCH = "stretch"


FitName = Annotated[
    Fitting | None,
    typer.Option(
        "--fit",
        help="images that are not square are padded with black (pad, the default), or cropped, or stretched",
    ),
]
FirstLabel = Annotated[int, typer.Option(min=0, help="what the files call class 0")]
Classes = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="how many classes there are, where not all of them have images"),
]
ClassNames = Annotated[
    str | None,
    typer.Option(help="what all classes are called, in the order of their labels, with commas between"),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(help="where the images are, if a data set of Hugging Face has several candidates"),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(help="where the labels are, likewise or in a CSV; in one without a header: first or last"),
]
ByHolder = Annotated[
    bool, typer.Option("--by-holder", help="PLACE has a file or folder for each who holds images")
]


class Form(StrEnum):
    """Formats that can be written."""

    PICTURES = "pictures"
    NPZ = "npz"
    CSV = "csv"
    IDX = "idx"
    HUGGINGFACE = "huggingface"


@data_app.command()
def check(
    place: PlaceName,
    picture: Annotated[Path | None, typer.Option(help="PNG file for a picture of samples")] = None,
    size: Size = None,
    fit: FitName = None,
    first_label: FirstLabel = 0,
    classes: Classes = None,
    class_names: ClassNames = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    by_holder: ByHolder = False,
    force: Force = False,
) -> None:
    """Show what is found in PLACE before any training, and what is odd about it."""
    with errors_as_messages():
        check_outputs(files=[picture], replaces=force)
        where = _place(place)
        wanted = _wanted(first_label, classes, class_names, image_column, label_column)
        refusal = None
        try:
            found = _read(where, wanted, size, fit, by_holder)
        except FirstLabelError as error:
            # Whoever mends that should not come back to learn of what else is odd.
            refusal = error
            found = _read(where, replace(wanted, classes=error.classes), size, fit, by_holder)
        except DamagedPicturesError as error:
            if len(error.faults) == 1:
                raise
            say(*error.faults.values())
            count = f"{len(error.faults):,} pictures"
            raise DataError(f"{where}: {count} cannot be read, as said above") from error
        _show_found(where, found)
        if picture is None:
            say("a picture of samples of each class: --picture FILE.png")
        else:
            _draw(found, picture)
            say(f"samples: {picture}")
        if refusal is not None:
            raise refusal


@data_app.command()
def convert(
    place: PlaceName,
    output: Annotated[
        Path, typer.Argument(help="folder, or .npz file, that is not there yet; a CSV is a folder of two")
    ],
    form: Annotated[
        Form | None,
        typer.Option("--to", "--as", help="format to write; .npz and .csv at the end of OUTPUT say it too"),
    ] = None,
    size: Size = None,
    fit: FitName = None,
    first_label: FirstLabel = 0,
    classes: Classes = None,
    class_names: ClassNames = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    by_holder: ByHolder = False,
) -> None:
    """Write the images of PLACE in another format: training and test part, labels from 0."""
    with errors_as_messages():
        form = form or _form_of_name(output)
        check_writable(output, form.value)
        wanted = _wanted(first_label, classes, class_names, image_column, label_column)
        found = _read(_place(place), wanted, size, fit, by_holder)
        test = found.train.none if found.test is None else found.test
        with progress_told(Paced(say)):
            not_kept = write_place(output, form.value, found.train, test, found.class_names)
        say(
            *found.notes,
            *not_kept,
            *_classes_not_kept(found, test),
            f"{_counts(found.train, test)} in {output}"
            + (", a folder with train.csv and test.csv" if form is Form.CSV else ""),
        )


def _show_found(where: Place, found: Found) -> None:
    """Show what a place has, and what is odd about it."""
    test = found.train.none if found.test is None else found.test
    shape = ImageShape(*found.train.images.shape[1:])
    classes = max(_classes(found.train), _classes(test), len(found.class_names), found.classes)
    kind = "grey" if shape.channels == 1 else "colour"
    low, high = int(found.train.images.min()), int(found.train.images.max())
    say(
        f"{where}: {_form(where, found)}",
        f"{_counts(found.train, test)}, {kind}, {shape.height} x "
        f"{shape.width} pixels (height first), from {low} to {high}",
    )
    terminal().print(_table(found, test, classes))
    about = findings(found.train, test, classes, found.class_names)
    say(
        *(f"note: {note}" for note in (*found.notes, *about.facts)),
        *(f"warning: {odd}" for odd in about.odd),
    )


def _wanted(
    first_label: int,
    classes: int | None,
    class_names: str | None,
    image_column: str | None,
    label_column: str | None,
) -> Wanted:
    """Return how a place is to be read; raises ``ConfError`` as for a domain that says the same."""
    said = {
        "name": "place",
        "first_label": first_label,
        "classes": classes,
        "class_names": [] if class_names is None else [name.strip() for name in class_names.split(",")],
        "image_column": image_column,
        "label_column": label_column,
    }
    source = validate(DomainSource, said, "huscf data")
    return source.wanted(source.stated_classes)


def _place(name: str) -> Place:
    if not name.strip():
        raise DataError("PLACE is empty, and would be the folder where you are; write . if that is meant")
    return place_named(name)


def _form_of_name(output: Path) -> Form:
    """Return the format that is meant where nobody says it; raises ``DataError`` unless the name does."""
    for form in (Form.NPZ, Form.CSV):
        if output.suffix.casefold() == f".{form.value}":
            return form
    raise DataError(
        f"{output}: nothing says which format to write: give --to {', --to '.join(Form)}; names that end in "
        ".npz or .csv say it too"
    )


def _read(place: Place, wanted: Wanted, size: int | None, fit: Fitting | None, by_holder: bool) -> Found:
    """Return what a place holds, in squares of ``size`` pixels if it is given.

    Pictures of several sizes take their median's. What images lose is among the notes.

    Raises:
        DataError: if they cannot be read, or ``fit`` says nothing, since all keep their one size.
    """
    with progress_told(Paced(say)):
        shape = _shape(place, wanted, by_holder)
        how: Fit = (fit or Fitting.PAD).value
        form = None if size is None else ImageForm(shape.channels, size, how)
        try:
            found = _found(place, replace(wanted, image=form), by_holder)
        except VariedSizesError:
            form = ImageForm(shape.channels, max(shape.height, shape.width), how)
            found = _found(place, replace(wanted, image=form), by_holder)
            note = f"{place}: each picture becomes {form.size} x {form.size}, {FITTED[how]}: --fit is {how}"
            return replace(found, notes=(*found.notes, note))
        if form is None:
            if fit is not None:
                raise DataError(
                    f"--fit is {fit}, but images stay {shape.height} x {shape.width} pixels: give --size too"
                )
            return found
        lies = found.shape or ImageShape(*found.train.images.shape[1:])
        lost = form_notes(str(place), lies, form, fitted="--fit is", sized="as --size says")
        train = convert_images(found.train, form.channels, form.size, how)
        test = None if found.test is None else convert_images(found.test, form.channels, form.size, how)
        return replace(found, train=train, test=test, notes=(*found.notes, *lost))


def _shape(place: Place, wanted: Wanted, by_holder: bool) -> ImageShape:
    return shape_of_holders(Path(str(place)), wanted) if by_holder else shape_of_place(place, wanted)


def _found(place: Place, wanted: Wanted, by_holder: bool) -> Found:
    found = read_holders(Path(str(place)), wanted) if by_holder else read_place(place, wanted)
    return replace(found, classes=max(found.classes, wanted.classes or 0))


def _form(place: Place, found: Found) -> str:
    """Return in words what a place has: its format, or how many holders with how many training images."""
    if found.train.holders is None:
        return format_of_place(place)
    counts = found.train.holders.bincount()
    least, most = int(counts.min()), int(counts.max())
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    images = by_count(most, "image", "images")
    return f"{len(counts):,} {by_count(len(counts), 'holder', 'holders')} with {each} training {images}"


def _counts(train: LabelledImages, test: LabelledImages) -> str:
    images = by_count(len(test), "image", "images")
    return f"{len(train):,} training and {len(test):,} test {images}"


def _classes_not_kept(found: Found, test: LabelledImages) -> list[str]:
    """Return what to say if there are classes of which only their number tells."""
    if found.class_names or found.classes <= max(_classes(found.train), _classes(test)):
        return []
    return [
        f"that there are {found.classes} classes is not kept, since the last have no images; say it with the "
        f"domain: classes: {found.classes}"
    ]


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
    labels = torch.nonzero(found.train.labels.bincount())[:_ROWS, 0].tolist()
    shown = torch.zeros(len(labels) * _COLUMNS, dtype=torch.int64)
    empty: list[int] = []
    for row, label in enumerate(labels):
        places = torch.nonzero(found.train.labels == label)[:_COLUMNS, 0]
        shown[row * _COLUMNS :][: len(places)] = places
        empty.extend(range(row * _COLUMNS + len(places), (row + 1) * _COLUMNS))
    captions = [name_of(label, found.class_names) for label in labels]
    sample_grid(picture, normalise(found.train.images[shown]), _COLUMNS, captions, empty)
