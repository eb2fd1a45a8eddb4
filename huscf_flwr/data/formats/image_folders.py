"""Folders of pictures, one folder a class, as torchvision's ImageFolder has them.

``DIR/<class>/<picture>``, or the same below ``DIR/train`` and ``DIR/test``. A folder ``val`` (or ``valid``,
``validation``) joins the training images if there is a ``test``, and otherwise takes its place. Pictures may
differ in size: then they need a form to be brought to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.formats.found import Found, ImageShape, Wanted, check_labels
from huscf_flwr.data.formats.pictures import SUFFIXES, read_picture, shape_of_picture
from huscf_flwr.data.images import DataError, ImageForm, LabelledImages, convert

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALIDATION = ("val", "valid", "validation")
_PICTURES_SURVEYED = 500


@dataclass(frozen=True)
class _Part:
    """The pictures of one part, with their labels."""

    paths: Sequence[Path]
    labels: Sequence[int]

    def joined(self, other: _Part) -> _Part:
        return _Part([*self.paths, *other.paths], [*self.labels, *other.labels])


def is_image_folder(folder: Path) -> bool:
    """Return whether folders of pictures are what ``folder`` holds."""
    return any(_has_pictures(each) for part in _parts(folder).values() for each in _subfolders(part))


def shape_of_image_folder(folder: Path) -> ImageShape:
    """Return the shape of the pictures: colour if any is, and the medians of height and width.

    At most some hundreds of them, spread evenly, are looked at.
    """
    paths = [
        path for part in _parts(folder).values() for each in _subfolders(part) for path in _pictures(each)
    ]
    found = [shape_of_picture(path) for path in paths[:: -(-len(paths) // _PICTURES_SURVEYED)]]
    return ImageShape(
        max(shape.channels for shape in found),
        round(median(shape.height for shape in found)),
        round(median(shape.width for shape in found)),
    )


def image_folder_label_limit(folder: Path, wanted: Wanted) -> int:
    """Return one more than the largest label that a folder's name stands for."""
    return max(_labels_of(folder, _parts(folder), wanted).values(), default=-1) + 1


def read_image_folder(folder: Path, wanted: Wanted) -> Found:
    """Return the pictures of ``folder``, in the order of their classes and names.

    Labels are the places of the folders' names in alphabetical order; if all names are numbers, these are
    the labels. With ``wanted.class_names`` they are the places of the names there.

    Raises:
        DataError: naming the folder or the file, if pictures cannot be read, differ in size while no form is
            wanted, or lie in folders that are no known classes.
    """
    parts = _parts(folder)
    _check_depth(folder, parts)
    labels = _labels_of(folder, parts, wanted)
    train, test = (_listed(parts, names, labels) for names in (("train",), ("test",)))
    notes = []
    if "validation" in parts:
        validation = _listed(parts, ("validation",), labels)
        if test is None:
            test = validation
            notes.append(f"{parts['validation']} is taken for the test part")
        elif train is not None and validation is not None:
            train = train.joined(validation)
            notes.append(
                f"the {len(validation.paths)} images of {parts['validation']} join the training images"
            )
    if train is None or not train.paths:
        raise DataError(f"{folder}: no pictures to train on; give at least one, in a folder of its class")
    for part in filter(None, (train, test)):
        check_labels(np.array(part.labels, dtype=np.int64), wanted.label_limit, folder)
    form = wanted.image or _common_form(folder, [*train.paths, *(test.paths if test else ())])
    is_number = all(name.isdecimal() for name in labels)
    return Found(
        _read(train, form),
        None if test is None else _read(test, form),
        wanted.class_names or (() if is_number else tuple(labels)),
        tuple(notes),
        shape_of_image_folder(folder),
    )


def _parts(folder: Path) -> dict[str, Path]:
    """Return the folders of the parts that are there; one without parts is all ``train``."""
    by_name = {each.name.casefold(): each for each in _subfolders(folder)}
    found = {}
    for part, names in (("train", _TRAIN), ("validation", _VALIDATION), ("test", _TEST)):
        there = [by_name[name] for name in names if name in by_name]
        if there:
            found[part] = there[0]
    has_parts = "train" in found and (len(found) > 1 or len(by_name) == 1)
    return found if has_parts else {"train": folder}


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__"))
    )


def _pictures(folder: Path) -> list[Path]:
    """Return the pictures of a class in the same order on every machine."""
    from torchvision.datasets.folder import make_dataset  # noqa: PLC0415 - slow to import, and most runs do without

    found = make_dataset(
        folder.parent, {folder.name: 0}, is_valid_file=lambda path: _is_picture(Path(path)), allow_empty=True
    )
    return [Path(path) for path, _ in found]


def _has_pictures(folder: Path) -> bool:
    return any(_is_picture(path) for path in folder.rglob("*"))


def _is_picture(path: Path) -> bool:
    return path.suffix.casefold() in SUFFIXES and not path.name.startswith(".")


def _check_depth(folder: Path, parts: Mapping[str, Path]) -> None:
    """Raise ``DataError`` if folders of folders hold the pictures: the outer ones are no classes."""
    classes = [each for part in parts.values() for each in _subfolders(part) if _has_pictures(each)]
    if classes and not any(_is_picture(path) for each in classes for path in each.iterdir()):
        raise DataError(
            f"{folder}: its folders {', '.join(each.name for each in classes[:5])} hold folders of pictures, "
            "and no pictures. If each is a domain, set data.root to this folder and name them as domains; "
            "otherwise give the folder that has one folder a class"
        )


def _labels_of(folder: Path, parts: Mapping[str, Path], wanted: Wanted) -> dict[str, int]:
    """Return the label of each folder's name, ascending."""
    names = sorted({each.name for part in parts.values() for each in _subfolders(part)})
    if wanted.class_names:
        known = {name: label for label, name in enumerate(wanted.class_names)}
        for name in names:
            if name not in known:
                raise DataError(
                    f"{folder}: folder '{name}' is none of the class names{did_you_mean(name, known)}: "
                    f"{', '.join(known)}; rename it, or say its name in class_names"
                )
        return known
    if all(name.isdecimal() for name in names):
        numbers = {name: int(name) for name in sorted(names, key=int)}
        if len(set(numbers.values())) < len(numbers):
            raise DataError(f"{folder}: two folders are named with the same number; rename one")
        return numbers
    if wanted.classes is not None and len(names) != wanted.classes:
        raise DataError(
            f"{folder}: folders of {len(names)} classes ({', '.join(names)}), but there are "
            f"{wanted.classes}: which label each has depends on all names. Say them in order: class_names "
            "with the domain, or class-names in a SuperNode's node config, the same for all clients"
        )
    return {name: label for label, name in enumerate(names)}


def _listed(parts: Mapping[str, Path], names: Sequence[str], labels: Mapping[str, int]) -> _Part | None:
    folders = [each for name in names if name in parts for each in _subfolders(parts[name])]
    if not any(name in parts for name in names):
        return None
    found = [(path, labels[each.name]) for each in folders for path in _pictures(each)]
    found.sort(key=lambda each: each[1])
    return _Part([path for path, _ in found], [label for _, label in found])


def _common_form(folder: Path, paths: Sequence[Path]) -> ImageShape:
    shapes = {shape_of_picture(path) for path in paths}
    if len({shape[1:] for shape in shapes}) > 1:
        raise DataError(
            f"{folder}: its pictures have {len({shape[1:] for shape in shapes})} different sizes, and "
            "nothing says which they should have: give a size in pixels"
        )
    return max(shapes)


def _read(part: _Part, form: ImageForm | ImageShape) -> LabelledImages:
    """Return the pictures of a part, each brought to the form as soon as it is read."""
    sides = (form.size, form.size) if isinstance(form, ImageForm) else (form.height, form.width)
    images = torch.empty((len(part.paths), form.channels, *sides), dtype=torch.uint8)
    for place, path in enumerate(part.paths):
        picture = read_picture(path)[None]
        if isinstance(form, ImageForm):
            one = LabelledImages(picture, torch.zeros(1, dtype=torch.int64))
            picture = convert(one, form.channels, form.size, form.fit).images
        images[place] = picture[0]
    return LabelledImages(images, torch.tensor(part.labels, dtype=torch.int64))
