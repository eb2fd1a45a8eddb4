"""What a place with images holds, whatever its format; and what every format asks and checks alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.data.images import DataError, ImageForm, LabelledImages


class ImageShape(NamedTuple):
    """Channels (1 or 3), and height and width in pixels; where images differ, the medians of these."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Wanted:
    """How a place is to be read.

    Attributes:
        image: the form to which images are brought while they are read; None leaves them as they are.
        classes: labels must be less than this, after ``first_label`` is taken off; None allows any.
        first_label: what the place calls class 0.
        class_names: names by label, which folders of images are then matched with; empty if nobody says them.
        needs_test: a test part without images is an error.
    """

    image: ImageForm | None = None
    classes: int | None = None
    first_label: int = 0
    class_names: tuple[str, ...] = ()
    needs_test: bool = True

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
    """

    train: LabelledImages
    test: LabelledImages | None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shape: ImageShape | None = None


def pixels_of(array: NDArray[np.generic], source: str) -> NDArray[np.uint8]:
    """Return whole numbers from 0 to 255, of any shape and any integer type, as unsigned bytes.

    Raises:
        DataError: for other numbers, naming ``source``, the type and the range found.
    """
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    lowest, highest = (array.min(), array.max()) if array.size and array.dtype.kind in "iufb" else (0, 0)
    if array.dtype.kind in "iu" and lowest >= 0 and highest <= 255:
        return array.astype(np.uint8)
    hint = (
        "write (255 * images).round() as unsigned bytes"
        if array.dtype.kind == "f" and highest <= 1
        else ("bring them to 0..255 and write them as unsigned bytes")
    )
    raise DataError(
        f"{source}: pixels are {array.dtype} from {lowest} to {highest}, but must be whole numbers from 0 to "
        f"255: {hint}"
    )


def check_labels(labels: NDArray[np.int64], limit: int | None, source: Path | str) -> None:
    """Check that labels [N] are from 0 to below ``limit``, if there is one.

    Raises:
        DataError: naming ``source``, the first label that is not and its place.
    """
    wrong = labels < 0 if limit is None else (labels < 0) | (labels >= limit)
    if not wrong.any():
        return
    place = int(np.argmax(wrong))
    allowed = "at least 0" if limit is None else f"in 0..{limit - 1}"
    if limit is not None and labels.min() == 1 and labels.max() == limit:
        raise DataError(
            f"{source}: labels begin at 1: label {limit} of sample {place} is out of range, labels must be "
            f"{allowed}; if they count from 1, say so: first_label: 1 with the domain, or first-label=1 in a "
            "SuperNode's node config"
        )
    raise DataError(
        f"{source}: label {labels[place]} of sample {place} is out of range, labels must be {allowed}: "
        "correct the file or the number of classes"
    )
