"""Folders of pictures, one folder a class, as torchvision's ImageFolder has them.

``DIR/<class>/<picture>``, or the same below ``DIR/train`` and ``DIR/test``. A folder ``val`` (or ``valid``,
``validation``) joins the training images if there is a ``test``, and otherwise takes its place. A folder is a
part if its own folders hold pictures; what is no part and holds pictures is named, and not looked at.
Pictures may differ in size: then they need a form to be brought to.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from huscf_flwr.data.formats.damage import Damage
from huscf_flwr.data.formats.found import (
    PART_NAMES,
    Found,
    ImageShape,
    Wanted,
    check_labels,
    labels_by_name,
)
from huscf_flwr.data.formats.mixture import Mixture
from huscf_flwr.data.formats.pictures import SUFFIXES, common_shape, read_pictures, surveyed, usual_shape
from huscf_flwr.data.images import DataError, ImageForm, LabelledImages, Origins
from huscf_flwr.data.progress import counted
from huscf_flwr.extras import extra
from huscf_flwr.naming import by_count, first_few

_USES: Mapping[str, str] = {"train": "training", "validation": "validation", "test": "testing"}


@dataclass(frozen=True)
class _Part:
    """The pictures of one part, with their labels."""

    paths: Sequence[Path]
    labels: Sequence[int]

    def joined(self, other: _Part) -> _Part:
        return _Part([*self.paths, *other.paths], [*self.labels, *other.labels])


def is_image_folder(folder: Path) -> bool:
    """Return whether folders of pictures are what ``folder`` holds."""
    return bool(_class_folders(_parts(folder)))


def holds_classes(folder: Path) -> bool:
    """Return whether folders of pictures are classes for certain: there are several of them, or parts above.

    One folder of pictures alone may be something else, such as samples of what a file beside it holds.
    """
    parts = _parts(folder)
    classes = {each.name for each in _class_folders(parts)}
    return (len(classes) > 1 or (len(classes) > 0 and folder not in parts.values())) and not _too_deep(parts)


def loose_pictures(folder: Path) -> dict[Path, int]:
    """Return how many pictures lie directly in a folder or in its parts, where nothing says their classes."""
    counts = {each: _count_loose(each) for each in (folder, *_parts(folder).values())}
    return {each: count for each, count in counts.items() if count}


def shape_of_image_folder(folder: Path) -> ImageShape:
    """Return the shape of the pictures: colour if any is, and the medians of height and width.

    At most some hundreds of them, spread evenly, are looked at.
    """
    paths = [
        path for part in _parts(folder).values() for each in _subfolders(part) for path in _pictures(each)
    ]
    return usual_shape(folder, [paths[place] for place in surveyed(len(paths))])


def image_folder_label_limit(folder: Path, wanted: Wanted) -> int:
    """Return one more than the largest label that a folder's name stands for."""
    return max(_labels_of(folder, _parts(folder), wanted).values(), default=-1) + 1


def image_folder_class_names(folder: Path, wanted: Wanted) -> tuple[str, ...]:
    """Return what the classes are called, by label; nothing if the folders are named with numbers."""
    return _class_names(_labels_of(folder, _parts(folder), wanted), wanted)


def read_image_folder(folder: Path, wanted: Wanted) -> Found:
    """Return the pictures of ``folder``, in the order of their classes and names.

    Labels are the places of the folders' names in alphabetical order; if all names are numbers, these are
    the labels. With ``wanted.class_names`` they are the places of the names there.

    Raises:
        DamagedPicturesError: if pictures cannot be read.
        DataError: naming the folder or the file, if pictures differ in size while no form is
            wanted, or lie in folders that are no known classes.
    """
    parts = _parts(folder)
    _check_depth(folder, parts)
    if folder not in parts.values():
        _check_parts_once(folder)
        parts = _without_flat(parts)
    labels = _labels_of(folder, parts, wanted)
    train, test = (_listed(parts, names, labels) for names in (("train",), ("test",)))
    notes = _passed_over(folder, parts)
    if "validation" in parts:
        validation = _listed(parts, ("validation",), labels)
        if test is None:
            test = validation
            notes.append(f"{parts['validation']} is taken for the test part")
        elif train is not None and validation is not None:
            train = train.joined(validation)
            count = len(validation.paths)
            images, join = by_count(count, "image", "images"), by_count(count, "joins", "join")
            notes.append(f"the {count} {images} of {parts['validation']} {join} the training images")
    if train is None or not train.paths:
        raise DataError(f"{folder}: no pictures to train on; give at least one, in a folder of its class")
    for part in filter(None, (train, test)):
        check_labels(np.array(part.labels, dtype=np.int64), wanted.label_limit, folder)
    form = wanted.image or common_shape(folder, [*train.paths, *(test.paths if test else ())])
    damage, mixture = Damage(folder), Mixture(folder)
    read = [None if part is None else _read(folder, part, form, damage, mixture) for part in (train, test)]
    damage.refuse()
    assert read[0] is not None
    return Found(
        read[0],
        read[1],
        _class_names(labels, wanted),
        (*notes, *mixture.notes()),
        shape_of_image_folder(folder),
    )


def _parts(folder: Path) -> dict[str, Path]:
    """Return the folders of the parts that are there; one without parts is all ``train``."""
    named = _named_like_parts(folder)
    others = set(_subfolders(folder)) - {each for there in named.values() for each in there}
    are_parts = len(named) > 1 or not others or any(map(_holds_classes, named.get("train", ())))
    if "train" not in named or not are_parts:
        return {"train": folder}
    return {part: next(filter(_holds_classes, there), there[0]) for part, there in named.items()}


def _named_like_parts(folder: Path) -> dict[str, list[Path]]:
    """Return the folders that are named like parts: ``Train``, ``val`` and ``valid``."""
    by_part = {
        part: [each for each in _subfolders(folder) if each.name.casefold() in names]
        for part, names in PART_NAMES.items()
    }
    return {part: there for part, there in by_part.items() if there}


def _holds_classes(folder: Path) -> bool:
    return any(map(_has_pictures, _subfolders(folder)))


def _check_parts_once(folder: Path) -> None:
    """Raise ``DataError`` if two folders are the same part: which of them is meant, nothing says."""
    for part, there in _named_like_parts(folder).items():
        twins = [each.name for each in there if _holds_classes(each)]
        if len(twins) > 1:
            raise DataError(
                f"{folder}: {' and '.join(twins)} are both for {_USES[part]}; remove one, or move its "
                "pictures into the other"
            )


def _without_flat(parts: Mapping[str, Path]) -> dict[str, Path]:
    """Return the parts without those whose pictures lie directly in them, and so have no classes."""
    return {
        part: each
        for part, each in parts.items()
        if part == "train" or _holds_classes(each) or not _count_loose(each)
    }


def _passed_over(folder: Path, parts: Mapping[str, Path]) -> list[str]:
    """Return what holds pictures and is not read, a sentence each."""
    beside = [] if folder in parts.values() else _subfolders(folder)
    no_parts = [each for each in beside if each not in parts.values()]
    return [
        *(
            f"{each}: pictures lie directly in it, and nothing says their classes; they are not looked at"
            for each in dict.fromkeys([folder, *parts.values(), *no_parts])
            if _count_loose(each)
        ),
        *(
            f"{each}: beside the parts of the set, and none of them; it is not looked at"
            for each in no_parts
            if _holds_classes(each)
        ),
    ]


def _count_loose(folder: Path) -> int:
    return sum(map(_is_picture, folder.iterdir()))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__"))
    )


def _pictures(folder: Path) -> list[Path]:
    """Return the pictures of a class in the same order on every machine."""
    with extra("images", f"{folder.parent}: reading folders of pictures"):
        from torchvision.datasets.folder import make_dataset  # noqa: PLC0415 - slow to import

    seen = counted(itertools.count(), None, f"listing {folder}")

    def is_valid_file(path: str) -> bool:
        next(seen)
        return _is_picture(Path(path))

    found = make_dataset(folder.parent, {folder.name: 0}, is_valid_file=is_valid_file, allow_empty=True)
    paths = [Path(path) for path, _ in found]
    by_place: dict[Path, Path] = {}
    for each in dict.fromkeys(path.parent for path in paths):
        if by_place.setdefault(each.resolve(), each) != each:
            raise DataError(
                f"{each}: a link to {by_place[each.resolve()]}, whose pictures are there already; remove it"
            )
    return paths


def _has_pictures(folder: Path) -> bool:
    return any(_is_picture(path) for path in folder.rglob("*"))


def _is_picture(path: Path) -> bool:
    return path.suffix.casefold() in SUFFIXES and not path.name.startswith(".")


def _check_depth(folder: Path, parts: Mapping[str, Path]) -> None:
    """Raise ``DataError`` if folders of folders hold the pictures: the outer ones are no classes."""
    if _too_deep(parts):
        classes = first_few([each.name for each in _class_folders(parts)])
        raise DataError(
            f"{folder}: its folders {classes} hold folders of pictures, "
            "and no pictures. If each is a domain, set data.root to this folder and name them as domains; "
            "otherwise give the folder that has one folder a class"
        )


def _too_deep(parts: Mapping[str, Path]) -> bool:
    classes = _class_folders(parts)
    return bool(classes) and not any(map(_count_loose, classes))


def _class_folders(parts: Mapping[str, Path]) -> list[Path]:
    """Return the folders in all parts that have pictures, however deep."""
    return [each for part in parts.values() for each in _subfolders(part) if _has_pictures(each)]


def _labels_of(folder: Path, parts: Mapping[str, Path], wanted: Wanted) -> dict[str, int]:
    """Return the label of each folder's name, ascending."""
    names = sorted({each.name for part in parts.values() for each in _subfolders(part)})
    return labels_by_name(folder, names, wanted, "folder")


def _class_names(labels: Mapping[str, int], wanted: Wanted) -> tuple[str, ...]:
    is_number = all(name.isdecimal() for name in labels)
    return wanted.class_names or (() if is_number else tuple(labels))


def _listed(parts: Mapping[str, Path], names: Sequence[str], labels: Mapping[str, int]) -> _Part | None:
    folders = [each for name in names if name in parts for each in _subfolders(parts[name])]
    if not any(name in parts for name in names):
        return None
    found = [(path, labels[each.name]) for each in folders for path in _pictures(each)]
    found.sort(key=lambda each: each[1])
    return _Part([path for path, _ in found], [label for _, label in found])


def _read(
    folder: Path, part: _Part, form: ImageForm | ImageShape, damage: Damage, mixture: Mixture
) -> LabelledImages:
    images = read_pictures(part.paths, len(part.paths), form, folder, damage, mixture)
    labels = torch.tensor(part.labels, dtype=torch.int64)
    return LabelledImages(images, labels, origins=Origins.of(len(labels), list(map(str, part.paths))))
