"""CSV files of label and pixels, one image a line, as they are on Kaggle; read by NumPy.

The label is the column that ``label_column`` names, or else ``label`` (or ``class``, ``target``); without a
header it is the first, unless ``label_column`` is ``last``. The others are pixels, row by row: of a grey
square, or of a colour square with red, green and blue of one pixel after the other. A folder holds one file,
or one with ``train`` in its name and one with ``test``. Files may be gzipped.
"""

from __future__ import annotations

import gzip
import itertools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.formats.found import (
    LABEL_NAMES,
    Found,
    ImageShape,
    Wanted,
    check_labels,
    named_if_damaged,
)
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.data.progress import counted
from huscf_flwr.naming import by_count, first_few

SUFFIXES = (".csv", ".csv.gz")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_FEW_CLASSES = 64
_MANY_CLASSES = 10
"""More are doubted, in a file without a header, where most of them have fewer images than so many."""
_LONGEST_SHOWN = 60
_LONGEST = 20
"""Python refuses to read numbers of thousands of digits."""


@dataclass(frozen=True)
class _Columns:
    """What the first line of a table says.

    Attributes:
        count: how many columns there are.
        label: which of them has the label; None if none has.
        names: what the columns are called, as they stand there; empty without a header.
    """

    count: int
    label: int | None
    names: tuple[str, ...] = ()

    @property
    def has_header(self) -> bool:
        """Whether the first line is one."""
        return bool(self.names)


def tables_of(folder: Path) -> list[Path]:
    """Return the CSV files in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_table(path))


def is_table(path: Path) -> bool:
    """Return whether a file's name says that it is CSV."""
    return path.name.casefold().endswith(SUFFIXES) and not path.name.startswith(".")


def are_pixels(folder: Path) -> bool:
    """Return whether the first line of a folder's table is a label and pixels, and not a file's name."""
    try:
        train = _train_and_test(folder)[0]
        columns = _columns(train, None)
        if columns.label is None or _side(columns.count - 1) is None:
            return False
        with _named_if_damaged(train):
            lines = _lines_of(train)
            first = next(itertools.islice(filter(str.strip, lines), int(columns.has_header), None), "")
    except DataError:
        return False
    values = _values_of(first)
    return len(values) == columns.count and all(map(_is_byte, values))


def shape_of_tables(place: Path, wanted: Wanted) -> ImageShape:
    """Return the shape of the images; raises ``DataError`` as ``read_tables`` does."""
    train = _train_and_test(place)[0]
    return _shape(train, _columns(train, wanted.label_column))


def table_label_limit(place: Path, wanted: Wanted) -> int:
    """Return one more than the largest training label; raises ``DataError`` as ``read_tables`` does."""
    train = _read(_train_and_test(place)[0], wanted)
    return 0 if train is None else int(train.labels.max()) + 1


def read_tables(place: Path, wanted: Wanted) -> Found:
    """Return the images of a CSV file, or of a folder with one or two.

    Raises:
        DataError: if a file is damaged, or has lines that are no label and pixels, naming file and line.
    """
    train_file, test_file, others = _train_and_test(place)
    notes = [f"{path} is not looked at" for path in others]
    train = _read(train_file, wanted)
    if train is None:
        names = _columns(train_file, wanted.label_column).names
        missing = wanted.label_column or "label"
        raise DataError(
            f"{train_file}: no column '{missing}'{did_you_mean(missing, names)}, but {first_few(names)}; "
            "give the file that has one, or say which it is: label_column with the domain (huscf data: "
            "--label-column)"
        )
    if wanted.label_column is None and not _columns(train_file, None).has_header:
        notes.append(_taken_for_labels(train_file, train))
    test = _read(test_file, wanted) if test_file else None
    if test_file and test is None:
        notes.append(f"{test_file} has no labels, and is not looked at")
    if test is not None and test.images.shape[1:] != train.images.shape[1:]:
        raise DataError(f"{test_file}: its images differ in size from those of {train_file.name}")
    return Found(train, test, wanted.class_names, tuple(notes))


def _train_and_test(place: Path) -> tuple[Path, Path | None, list[Path]]:
    """Return the files of the training and the test part, and others that are there."""
    if place.is_file():
        return place, None, []
    files = tables_of(place)
    if len(files) == 1:
        return files[0], None, []
    train = [path for path in files if "train" in path.name.casefold()]
    test = [path for path in files if "test" in path.name.casefold() and path not in train]
    if len(train) != 1 or len(test) > 1:
        raise DataError(
            f"{place}: CSV files {', '.join(path.name for path in files)}, of which none or several are to "
            "train on; give the file, or leave one with 'train' and one with 'test' in its name"
        )
    return train[0], test[0] if test else None, [path for path in files if path not in (*train, *test)]


def _columns(path: Path, label_column: str | None) -> _Columns:
    """Return what the first line of a file says; its labels are in the ``label_column``, if that is said."""
    with _named_if_damaged(path):
        lines = _lines_of(path)
        first = next(lines, "").strip()
        filled = list(itertools.islice(filter(str.strip, itertools.chain([first], lines)), 2))
    if not first:
        fault = "its first line is empty; remove it" if filled else "nothing in it; write or copy it again"
        raise DataError(f"{path}: {fault}")
    names = tuple(_values_of(first))
    if len(names) < 2:
        shown = first if len(first) <= _LONGEST_SHOWN else f"{first[:_LONGEST_SHOWN]}..."
        raise DataError(f"{path}: its first line is '{shown}', not a label and pixels with commas between")
    for line in filled:
        _check_apart(path, names, _values_of(line))
    if all(name.lstrip("-").isdecimal() for name in names):
        return _Columns(len(names), _label_by_place(path, len(names), label_column or "first"))
    label = _label_by_name(names, label_column)
    if label is None and _side(len(names)) is None:
        wanted = label_column or "label"
        raise DataError(
            f"{path}: none of its {len(names)} columns is called '{wanted}'{did_you_mean(wanted, names)}, "
            "and they are no square of pixels; name the column of labels so, or say which it is: "
            "label_column with the domain (huscf data: --label-column)"
        )
    return _Columns(len(names), label, names)


def _label_by_place(path: Path, count: int, label_column: str) -> int:
    """Return which of ``count`` columns without names has the labels."""
    places = {"first": 0, "last": count - 1}
    if label_column.casefold() not in places:
        raise DataError(
            f"{path}: label_column is '{label_column}', but its first line is no header; say first or last, "
            "or put a line before it that names the columns"
        )
    return places[label_column.casefold()]


def _label_by_name(names: Sequence[str], label_column: str | None) -> int | None:
    """Return which of the columns has the labels; None if none is called so."""
    known = [name.casefold() for name in names]
    if label_column is None:
        return next((known.index(name) for name in LABEL_NAMES if name in known), None)
    return known.index(label_column.casefold()) if label_column.casefold() in known else None


def _check_apart(path: Path, names: Sequence[str], values: Sequence[str]) -> None:
    """Raise ``DataError`` if several pixels stand in one column, as in FER2013's ``emotion,pixels,Usage``."""
    for place, value in enumerate(values):
        numbers = value.split()
        if len(numbers) < 2 or not all(map(_is_byte, numbers)):
            continue
        side = _side(len(numbers))
        form = f"-1, {side}, {side}" + (", 3" if side and len(numbers) > side * side else "")
        images = "numpy.array([pixels.split() for pixels in COLUMN], 'uint8')"
        called = f" '{names[place]}'" if place < len(names) and names[place] != value else f" {place + 1}"
        raise DataError(
            f"{path}: column{called} has all pixels of an image, with spaces between, and is not read; give "
            f"each a column of its own, or write numpy.savez('{path.name.partition('.')[0]}.npz', "
            f"train_images={images}{f'.reshape({form})' if side else ''}, train_labels=LABELS)"
        )


def _named_if_damaged(path: Path) -> AbstractContextManager[None]:
    return named_if_damaged(path, "cannot be read", "write or copy it again")


def _lines_of(path: Path) -> Iterator[str]:
    if path.suffix.casefold() == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig") as unpacked:
            yield from unpacked
    else:
        with path.open(encoding="utf-8-sig") as file:
            yield from file


def _side(pixels: int) -> int | None:
    """Return the side of a grey or colour square of so many values; None if there is none."""
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side and channels * side * side == pixels:
            return side
    return None


def _shape(path: Path, columns: _Columns) -> ImageShape:
    pixels = columns.count - (columns.label is not None)
    side = _side(pixels)
    if side is None:
        raise DataError(
            f"{path}: {pixels} pixels a line are neither a grey nor a colour square; "
            + (_what_are_no_pixels(columns) or "write images of other forms as .npz")
        )
    return ImageShape(pixels // (side * side), side, side)


def _what_are_no_pixels(columns: _Columns) -> str | None:
    """Return what to do with columns whose names, unlike ``pixel12`` or ``3x4``, have no number."""
    others = [
        name
        for place, name in enumerate(columns.names)
        if place != columns.label and not any(map(str.isdecimal, name))
    ]
    if not others or len(others) == len(columns.names) - (columns.label is not None):
        return None
    seem = by_count(len(others), "column seems to be no pixel", "columns seem to be no pixels")
    return f"{len(others)} {seem}: {first_few(others)}; leave out what is none"


def _read(path: Path, wanted: Wanted) -> LabelledImages | None:
    """Return the images of one file; None if it has no labels."""
    columns = _columns(path, wanted.label_column)
    if columns.label is None:
        return None
    shape = _shape(path, columns)
    values = _values(path, columns)
    labels = values[:, columns.label].astype(np.int64)
    check_labels(labels, wanted.label_limit, path)
    # Of the usual place of the labels, no copy is needed.
    pixels = values[:, 1:] if columns.label == 0 else np.delete(values, columns.label, axis=1)
    images = pixels.reshape(len(values), shape.height, shape.width, shape.channels).transpose(0, 3, 1, 2)
    return LabelledImages(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels))


def _taken_for_labels(path: Path, data: LabelledImages) -> str:
    """Return what to say of a file without a header, of whose labels nobody says where they are."""
    taken = f"{path}: it has no header, so the first number of each line is taken for its label"
    classes = len(set(data.labels.tolist()))
    if _last_look_more_like_labels(data):
        return (
            f"{taken}; the last looks more like one: say label_column: last with the domain (huscf data: "
            "--label-column last), or put a line before the first that calls that column label"
        )
    if classes > max(_MANY_CLASSES, len(data) / _MANY_CLASSES):
        return (
            f"{taken}; these are {classes} classes of {len(data):,} images, as of pixels: if the last is the "
            "label, say label_column: last with the domain (huscf data: --label-column last)"
        )
    return taken


def _last_look_more_like_labels(data: LabelledImages) -> bool:
    """Return whether the last numbers of the lines are several classes without a gap, and the labels not."""
    return _are_classes(data.images[:, -1, -1, -1]) and not _are_classes(data.labels)


def _are_classes(numbers: torch.Tensor) -> bool:
    found = np.unique(numbers.numpy())
    return 1 < len(found) < _FEW_CLASSES and len(found) == int(found[-1]) - int(found[0]) + 1


def _first_fault(path: Path, columns: _Columns) -> str | None:
    """Return what is wrong with the first line that is no label and pixels, counted as editors count."""
    for number, line in enumerate(_lines_of(path), 1):
        content = line.partition("#")[0]
        if not content.strip() or (number == 1 and columns.has_header):
            continue
        values = _values_of(content)
        if len(values) != columns.count:
            return f"line {number} has {len(values)} values, and the first line {columns.count}; correct it"
        for place, value in enumerate(values):
            if not _is_byte(value):
                return f"line {number}: {_fault_of(value, place, columns)}"
    return None


def _values_of(line: str) -> list[str]:
    return [value.strip().strip('"') for value in line.split(",")]


def _fault_of(value: str, place: int, columns: _Columns) -> str:
    if place != columns.label:
        return f"pixel '{value}' in column {place + 1} is no whole number from 0 to 255; correct the file"
    if value.startswith("-") and value[1:].isdecimal():
        return (
            f"its label is {value}, but labels begin at 0; remove lines that have no class, or count classes "
            "from 0"
        )
    return f"label '{value}' is no whole number from 0 to 255; number the classes from 0"


def _is_byte(value: str) -> bool:
    return _WHOLE.fullmatch(value) is not None and len(value) < _LONGEST and 0 <= int(value) <= 255


def _values(path: Path, columns: _Columns) -> NDArray[np.uint8]:
    """Return all numbers of a table, unsigned bytes [lines, columns]."""
    with _named_if_damaged(path), warnings.catch_warnings():
        # That a file is empty is said below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            values = np.loadtxt(
                counted(_lines_of(path), None, f"reading lines of {path}"),
                np.uint8,
                delimiter=",",
                skiprows=int(columns.has_header),
                ndmin=2,
                quotechar='"',
            )
        except UnicodeDecodeError:
            raise
        except (ValueError, OverflowError) as error:
            # NumPy counts neither the header nor empty lines, and knows nothing of labels.
            raise DataError(f"{path}: {_first_fault(path, columns) or error}") from error
    if not len(values):
        raise DataError(f"{path}: no images, only a header; write or copy it again")
    if values.shape[1] != columns.count:
        raise DataError(
            f"{path}: its first line has {columns.count} columns and the others {values.shape[1]}; correct "
            "the file"
        )
    return values
