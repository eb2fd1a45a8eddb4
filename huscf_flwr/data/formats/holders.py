"""Reading a folder that has a part for each who holds images: a speaker, a writer, a hospital.

Every file or folder directly in it is one holder's images, in any format that is known. All together are one
domain, and of every training image it is known who has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from huscf_flwr.data.formats.found import Found, ImageShape, Wanted
from huscf_flwr.data.formats.places import classes_of_place, read_place, shape_of_place
from huscf_flwr.data.images import DataError, LabelledImages, together


def parts_of(folder: Path) -> tuple[Path, ...]:
    """Return the holders' files and folders, in the order of their names; hidden ones are none.

    Raises:
        DataError: if ``folder`` is not a folder, or is empty.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder, but by_holder is true: give one with a part for each holder"
        )
    parts = tuple(sorted(path for path in folder.iterdir() if not path.name.startswith(".")))
    if not parts:
        raise DataError(f"{folder}: nothing in it; give a folder with a file or folder for each holder")
    return parts


def read_holders(folder: Path, wanted: Wanted, *, split_test: bool = True) -> Found:
    """Return the images of all holders, one's after the other's; the arguments are those of ``read_place``.

    Raises:
        DataError: as ``read_place`` and ``parts_of`` do, or if images of two holders differ in shape, or some
            holders have a test part and others have none.
    """
    parts = parts_of(folder)
    found = [read_place(part, wanted, split_test=split_test) for part in parts]
    tests = [each.test for each in found if each.test is not None]
    if 0 < len(tests) < len(found):
        lacking = next(part for part, each in zip(parts, found, strict=True) if each.test is None)
        raise DataError(f"{lacking}: no test part, but other holders have one; give it one too")
    train = _joined(folder, [each.train for each in found])
    holders = torch.repeat_interleave(torch.tensor([len(each.train) for each in found]))
    return replace(
        found[0],
        train=replace(train, holders=holders),
        test=_joined(folder, tests) if tests else None,
        class_names=_names(folder, found),
        notes=tuple(note for each in found for note in each.notes),
    )


def shape_of_holders(folder: Path) -> ImageShape:
    """Return the shape of the first holder's training images."""
    return shape_of_place(parts_of(folder)[0])


def classes_of_holders(folder: Path, wanted: Wanted) -> int:
    """Return the number of classes of all holders together."""
    return max(classes_of_place(part, wanted) for part in parts_of(folder))


def _joined(folder: Path, parts: Sequence[LabelledImages]) -> LabelledImages:
    shapes = {tuple(part.images.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise DataError(
            f"{folder}: images of its parts have the shapes {sorted(shapes)} (channels, height, width); "
            "bring them to one, or name each part as a domain of its own"
        )
    return together(parts)


def _names(folder: Path, found: Sequence[Found]) -> tuple[str, ...]:
    """Return the names of the classes, which must be those of every holder."""
    names = {each.class_names for each in found}
    if len(names) > 1:
        raise DataError(
            f"{folder}: its parts have classes of different names, so that label 0 is not the same in all; "
            "give class_names with the domain"
        )
    return names.pop()
