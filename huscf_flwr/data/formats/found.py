"""What a place with images holds, whatever its format; and what every format asks and checks alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.images import DataError, Fit, ImageForm, LabelledImages, Origins
from huscf_flwr.extras import MissingExtraError
from huscf_flwr.naming import by_count

PART_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What people call the parts of a data set."""

_IMAGE_OF = {"train": "training image", "validation": "validation image", "test": "test image"}
"""What an image of a part is called."""

Images = TypeVar("Images", bound=LabelledImages)

_MOST_CLASSES = 2**16
"""Labels that go further are something else, such as ids, and networks for so many would fit nowhere."""

LABEL_NAMES = ("label", "labels", "class", "target")
"""What people call the column of labels, the likeliest first."""


FITTED: Mapping[Fit, str] = {
    "pad": "padded with black",
    "crop": "cropped to the middle",
    "stretch": "stretched",
}
"""What is done with images that are not square, in words."""


class ImageShape(NamedTuple):
    """Channels (1 or 3), and height and width in pixels; where images differ, the medians of these."""

    channels: int
    height: int
    width: int


class VariedShape(ImageShape):
    """The shape of images that differ in height or width: medians, which perhaps no image has."""

    __slots__ = ()


def usual_of(shapes: Sequence[ImageShape]) -> ImageShape:
    """Return the shape of images that may differ: colour if any is, and the medians of height and width.

    Where these differ, it is a ``VariedShape``.
    """
    differ = len({shape[1:] for shape in shapes}) > 1 or any(isinstance(each, VariedShape) for each in shapes)
    return (VariedShape if differ else ImageShape)(
        max(shape.channels for shape in shapes),
        round(median(shape.height for shape in shapes)),
        round(median(shape.width for shape in shapes)),
    )


@dataclass(frozen=True)
class Wanted:
    """How a place is to be read.

    Attributes:
        image: the form to which images are brought while they are read; None leaves them as they are.
        classes: labels must be less than this, after ``first_label`` is taken off; None allows any.
        first_label: what the place calls class 0.
        class_names: names by label, which folders of images are then matched with; empty if nobody says them.
        needs_test: a test part without images is an error.
        image_column: where the images are, in a place that has columns; None if that is plain.
        label_column: where the labels are, likewise.
        is_part: the place is one of several whose classes are counted together, and may lack some of them.
    """

    image: ImageForm | None = None
    classes: int | None = None
    first_label: int = 0
    class_names: tuple[str, ...] = ()
    needs_test: bool = True
    image_column: str | None = None
    label_column: str | None = None
    is_part: bool = False

    @property
    def label_limit(self) -> int | None:
        """What labels must be below, as they stand in the files."""
        return None if self.classes is None else self.classes + self.first_label


@dataclass(frozen=True, eq=False)
class Found:
    """The images of a place.

    Attributes:
        train: those to train on, at least one.
        test: those to test with; None if the place has no test part.
        class_names: names by label; empty if the place has only numbers.
        notes: what was done with them that a reader may not expect, a sentence each.
        shape: of the images where they lie, if they were brought to another form while they were read.
        classes: at least so many there are, if the place says more of it than its labels do; else 0.
    """

    train: LabelledImages
    test: LabelledImages | None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shape: ImageShape | None = None
    classes: int = 0


def named_by_number(data: Images, part: str, place: object, wanted: Wanted) -> Images:
    """Return images that have a name each: their number in their part, where they are no files.

    Of parts that are joined each must have its names before, or numbers are no longer those that lie there.

    Args:
        data: all images of a part, in the order in which they lie there.
        part: which it is, a key of ``PART_NAMES``.
        place: where it lies, which is named too if it is one of several.
        wanted: how the place is to be read.
    """
    if data.origins is not None:
        return data
    above = f"{place}, " if wanted.is_part else ""
    return replace(data, origins=Origins.of(len(data), f"{above}{_IMAGE_OF[part]}"))


def form_notes(what: str, shape: ImageShape, form: ImageForm, *, fitted: str, sized: str) -> list[str]:
    """Return what images lose on the way to another form, a sentence each.

    Args:
        what: whose images they are, as the first words.
        shape: how they lie there.
        form: what they are brought to.
        fitted: the setting that says how images become square, before its value.
        sized: what says the size.
    """
    notes = []
    if shape.height != shape.width:
        notes.append(
            f"{what}: images of {shape.height} x {shape.width} pixels, height first, are {FITTED[form.fit]}: "
            f"{fitted} {form.fit}"
        )
    lost = ["their colour"] if shape.channels > form.channels else []
    lost += (
        [f"detail, from {max(shape[1:])} to {form.size} pixels"] if max(shape[1:]) > 1.25 * form.size else []
    )
    if lost:
        notes.append(f"{what}: images lose {' and '.join(lost)}, {sized}")
    return notes


class VariedSizesError(DataError):
    """Images differ in size, and nobody says which they should have; ``usual`` has the medians."""

    def __init__(self, message: str, usual: ImageShape) -> None:
        super().__init__(message)
        self.usual = usual


class FirstLabelError(DataError):
    """Labels do not begin at 0, and nobody says why; ``classes`` there are if class 0 has no images."""

    def __init__(self, message: str, classes: int) -> None:
        super().__init__(message)
        self.classes = classes


class OtherClassesError(DataError):
    """Labels or names of classes are not those that are wanted."""


@contextmanager
def named_if_damaged(place: object, what: str, instead: str, *, with_kind: bool = False) -> Iterator[None]:
    """Name the place in whatever a library raises of its content.

    They raise all kinds of errors of damaged files: Pillow ``TypeError`` and ``IndexError`` of a TIFF,
    ``zipfile`` ``NotImplementedError`` of a changed byte. No list of them is complete.

    Args:
        place: the file or folder.
        what: what is wrong with it, as the first words behind its name.
        instead: what to do.
        with_kind: the kind of the error tells the user something.

    Raises:
        DataError: instead of any other error but a missing extra.
    """
    try:
        yield
    except (DataError, MissingExtraError):
        raise
    except Exception as error:
        kind = type(error).__name__
        told = " ".join(str(error).split())
        told = f"{kind}: {told}" if with_kind and told else told or kind
        raise DataError(f"{place}: {what} ({told:.300}); {instead}") from error


def labels_by_name(place: object, names: Sequence[str], wanted: Wanted, what: str) -> dict[str, int]:
    """Return the label of each class by its name, ascending; ``what`` has such names, as in ``folder``.

    Labels are the places of the names in alphabetical order; if all names are numbers, these are the labels.
    With ``wanted.class_names`` they are the places of the names there.

    Raises:
        OtherClassesError: if a name is not among ``wanted.class_names``, or there are not as many as classes.
    """
    if wanted.class_names:
        known = {name: label for label, name in enumerate(wanted.class_names)}
        for name in names:
            if name not in known:
                raise OtherClassesError(
                    f"{place}: {what} '{name}' is none of the class names{did_you_mean(name, known)}: "
                    f"{', '.join(known)}; rename it, or say its name in class_names "
                    "(huscf data: --class-names)"
                )
        return known
    if all(name.isdecimal() for name in names):
        numbers = {name: int(name) for name in sorted(names, key=int)}
        if len(set(numbers.values())) < len(numbers):
            raise OtherClassesError(f"{place}: two {what}s are named with the same number; rename one")
        return numbers
    if not wanted.is_part and wanted.classes is not None and len(names) != wanted.classes:
        raise OtherClassesError(
            f"{place}: {what}s of {len(names)} {by_count(len(names), 'class', 'classes')} "
            f"({', '.join(names)}), but there are {wanted.classes}: which label each has depends on all "
            "names. Say them in order: class_names with the domain (huscf data: --class-names), or "
            "class-names in a SuperNode's node config, the same for all clients"
        )
    return {name: label for label, name in enumerate(sorted(names))}


def check_labels(labels: NDArray[np.int64], limit: int | None, source: Path | str) -> None:
    """Check that labels [N] are from 0 to below ``limit``, if there is one.

    Raises:
        OtherClassesError: naming ``source``, the first label that is not and its place.
    """
    highest = _MOST_CLASSES if limit is None else limit
    wrong = (labels < 0) | (labels >= highest)
    if not wrong.any():
        return
    place = int(np.argmax(wrong))
    which = f"{source}: label {labels[place]} of sample {place} is out of range"
    if labels[place] < 0:
        raise OtherClassesError(
            f"{which}, labels count from 0: remove samples that have no class, or number the classes from 0"
        )
    if limit is None:
        raise OtherClassesError(
            f"{which}, and too large for a class, whose number is at most {_MOST_CLASSES - 1:,}: give the "
            "numbers of the classes, if these are something else, such as ids"
        )
    allowed = f"in 0..{highest - 1}"
    if labels.min() == 1 and labels.max() == limit:
        raise OtherClassesError(
            f"{source}: labels begin at 1: label {limit} of sample {place} is out of range, labels must be "
            f"{allowed}; if they count from 1, say so: first_label: 1 with the domain (huscf data: "
            "--first-label 1), or first-label=1 in a SuperNode's node config"
        )
    raise OtherClassesError(
        f"{which}, labels must be {allowed}: "
        "correct the file, or the number of classes: classes or class_names with the domain (huscf data: "
        "--classes, --class-names), or class-names in a SuperNode's node config"
    )
