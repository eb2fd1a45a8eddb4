"""One ``.npz`` file with MedMNIST's names, read by NumPy.

``train_images`` [N, H, W] or [N, H, W, C] and ``train_labels`` [N] or [N, 1], whole numbers, or one-hot
[N, classes], which say how many classes there are; likewise ``test_*``, if there is a test part. ``val_*``
joins the training images if there is a test part, and otherwise takes its place. Channels may come before
height and width where that cannot be misunderstood.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from huscf_flwr.data.formats.arrays import Labels, channels_first, labels_of
from huscf_flwr.data.formats.found import (
    Found,
    ImageShape,
    Wanted,
    check_labels,
    named_by_number,
    named_if_damaged,
)
from huscf_flwr.data.images import DataError, LabelledImages, together
from huscf_flwr.data.progress import counted
from huscf_flwr.naming import by_count

_PARTS = {"train": "train", "val": "validation", "test": "test"}
"""What each part is called everywhere else."""
_NAMES = "train_images, train_labels, test_images, test_labels (and val_images, val_labels)"


def has_training_part(path: Path) -> bool:
    """Return whether a file is an archive with images and labels to train on."""
    try:
        with _opened(path) as file:
            return {"train_images", "train_labels"} <= set(file.files)
    except DataError:
        return False


def shape_of_npz(path: Path) -> ImageShape:
    """Return the shape of the training images; raises ``DataError`` as ``read_npz`` does."""
    with _opened(path) as file:
        return ImageShape(*_images(path, file, "train").shape[1:])


def npz_label_limit(path: Path) -> int:
    """Return one more than the largest training label, or as many as there are one-hot.

    Raises:
        DataError: as ``read_npz`` does.
    """
    with _opened(path) as file:
        labels = _labels(path, file, "train").numbers
        return max(int(labels.max(initial=-1)) + 1, _one_hot_classes(path, file))


def read_npz(path: Path, wanted: Wanted) -> Found:
    """Return the images of an ``.npz`` file.

    Raises:
        DataError: if the file is damaged, lacks an array, or has one that is no images or no labels, naming
            the file and the array.
    """
    with _opened(path) as file:
        there = [part for part in _PARTS if _has(file, part)]
        told = counted(there, len(there), f"reading parts of {path}")
        parts = {part: _part(path, file, part, wanted) for part in told}
        classes = _one_hot_classes(path, file)
    train, validation, test = (parts.get(part) for part in ("train", "val", "test"))
    if train is None:
        raise DataError(f"{path}: no array train_images; name the arrays as MedMNIST does: {_NAMES}")
    notes = []
    if validation is not None and test is None:
        test = validation
        notes.append(f"{path}: val_images is taken for the test part")
    elif validation is not None:
        train = _joined(path, train, validation)
        join = by_count(len(validation), "image of val_images joins", "images of val_images join")
        notes.append(f"{path}: the {len(validation)} {join} the training images")
    return Found(train, test, wanted.class_names, tuple(notes), classes=classes)


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    with named_if_damaged(path, "damaged, or no file of NumPy", "write or copy it again"):
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, NpzFile):
            raise DataError(f"{path}: one array, not an archive of arrays: write it with numpy.savez")
        with file:
            yield file


def _has(file: NpzFile, part: str) -> bool:
    return f"{part}_images" in file.files or f"{part}_labels" in file.files


def _part(path: Path, file: NpzFile, part: str, wanted: Wanted) -> LabelledImages:
    images = torch.from_numpy(_images(path, file, part))
    labels = _labels(path, file, part).numbers
    if len(images) != len(labels):
        raise DataError(
            f"{path}: {len(labels)} {part}_labels for {len(images)} {part}_images; correct the file"
        )
    check_labels(labels, wanted.label_limit, f"{path}, {part}_labels")
    data = LabelledImages(images, torch.from_numpy(labels))
    return named_by_number(data, _PARTS[part], path, wanted)


def _array(path: Path, file: NpzFile, name: str) -> NDArray[np.generic]:
    if name not in file.files:
        found = ", ".join(file.files) or "nothing"
        raise DataError(
            f"{path}: no array {name}; it has {found}. Name the arrays as MedMNIST does: {_NAMES}"
        )
    source = f"{path}, {name}"
    with named_if_damaged(path, f"damaged in {name}", "write or copy it again"):
        try:
            array: NDArray[np.generic] = file[name]
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            raise DataError(
                f"{source} is an array of Python objects, which only a pickle holds, and a pickle may run "
                "anything: write it as an array of numbers, such as numpy.stack(images) or labels.astype(int)"
            ) from error
        return array


def _images(path: Path, file: NpzFile, part: str) -> NDArray[np.uint8]:
    """Return the images of a part, [N, C, H, W]."""
    name = f"{part}_images"
    array = _array(path, file, name)
    return channels_first(array, f"{path}, {name}")


def _one_hot_classes(path: Path, file: NpzFile) -> int:
    """Return the number of classes of the parts whose labels are one-hot; 0 if none are."""
    there = [part for part in _PARTS if f"{part}_labels" in file.files]
    return max((_labels(path, file, part).classes for part in there), default=0)


def _labels(path: Path, file: NpzFile, part: str) -> Labels:
    name = f"{part}_labels"
    array = _array(path, file, name)
    return labels_of(array, f"{path}, {name}", "images with several labels cannot be used")


def _joined(path: Path, train: LabelledImages, validation: LabelledImages) -> LabelledImages:
    if train.images.shape[1:] != validation.images.shape[1:]:
        raise DataError(f"{path}: train_images and val_images differ in size or channels; correct the file")
    return together([train, validation])
