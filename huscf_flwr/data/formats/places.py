"""Reading the images of a place, whatever its format, which is chosen by what is found there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from huscf_flwr.data.formats.found import FirstLabelError, Found, ImageShape, Wanted
from huscf_flwr.data.formats.huggingface import (
    huggingface_class_names,
    huggingface_label_limit,
    read_huggingface,
    shape_of_huggingface,
)
from huscf_flwr.data.formats.huggingface_parts import HubSet, is_huggingface, is_huggingface_file
from huscf_flwr.data.formats.image_folders import (
    image_folder_class_names,
    image_folder_label_limit,
    is_image_folder,
    read_image_folder,
    shape_of_image_folder,
)
from huscf_flwr.data.formats.npz import npz_label_limit, read_npz, shape_of_npz
from huscf_flwr.data.formats.pictures import SUFFIXES
from huscf_flwr.data.formats.pixel_tables import (
    is_table,
    read_tables,
    shape_of_tables,
    table_label_limit,
    tables_of,
)
from huscf_flwr.data.idx import IdxFiles, idx_files, idx_label_limit, read_idx_folder, shape_of_idx
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.data.shares import stratified_shares

_TEST_PART = 5
"""One image of so many is for testing, where a place has no test part."""

_AT_ONCE = 2048

FORMATS = (
    "folders of pictures, one a class, with or without train and test above",
    "an .npz with train_images, train_labels, test_images and test_labels",
    "a .csv of label and pixels",
    "files with MNIST's or EMNIST's names (train-images-idx3-ubyte and so on)",
    "a data set of Hugging Face, as save_to_disk writes it, or .parquet or .arrow files",
)
"""What can be read, in words."""

Place = Path | HubSet
"""A folder or file, or a data set on Hugging Face's hub."""


@dataclass(frozen=True)
class _Format:
    """A format that a place has, and where in it the images are."""

    name: str
    shape: Callable[[Wanted], ImageShape]
    read: Callable[[Wanted], Found]
    label_limit: Callable[[Wanted], int]
    """One more than the largest training label."""
    class_names: Callable[[Wanted], tuple[str, ...]] = lambda wanted: wanted.class_names
    """Names of the classes by label; empty if there are only numbers."""
    has_columns: bool = False
    """Whether it can be said which column has the images, and which the labels."""


def read_place(place: Place, wanted: Wanted, *, split_test: bool = True) -> Found:
    """Return the images of a folder or file; ``first_label`` is taken off their labels.

    Args:
        place: the folder, the file, or the data set on the hub.
        wanted: how it is to be read.
        split_test: without a test part, a fifth of the images becomes one: a fifth of every label, the same
            on every machine.

    Raises:
        DataError: if there is nothing that can be read, or it is damaged; the message names the file.
    """
    found = read_parts(place, wanted)
    check_first(place, found, wanted)
    if found.test is not None or not split_test:
        return found
    if len(found.train) < 2:
        raise DataError(f"{place}: one image, and no test part; give it at least 2, or a test part")
    train, test = without_test_share(found.train)
    if not len(test):
        raise DataError(
            f"{place}: no test part, and every label has one image; give a test part, or more images"
        )
    return replace(found, train=train, test=test, notes=(*found.notes, split_note(place, train, test)))


def read_parts(place: Place, wanted: Wanted) -> Found:
    """Return the parts that a place has; ``first_label`` is taken off their labels.

    Raises:
        DataError: as ``read_place`` does, but for labels that do not begin at 0.
    """
    found = _wanted_format(place, wanted).read(wanted)
    if not len(found.train):
        raise DataError(f"{place}: no images to train on; give at least one")
    forms = [list(each.images.shape[1:]) for each in (found.train, found.test) if each is not None]
    if forms[0] != forms[-1] and len(found.test or ()):
        raise DataError(
            f"{place}: training images have the form {forms[0]} (channels, height, width), test images "
            f"{forms[1]}; bring them to one"
        )
    test = None if found.test is None else _counted_from_zero(place, found.test, wanted)
    return replace(found, train=_counted_from_zero(place, found.train, wanted), test=test)


def split_note(place: Place, train: LabelledImages, test: LabelledImages) -> str:
    """Return in a sentence that ``test`` was split off."""
    return (
        f"{place}: no test part; a fifth of every label, {len(test)} of {len(test) + len(train)} images, is "
        "kept for testing, the same on every machine"
    )


def shape_of_place(place: Place, wanted: Wanted = Wanted()) -> ImageShape:  # noqa: B008  (frozen)
    """Return the shape of the training images of a place, without keeping them.

    Raises:
        DataError: as ``read_place`` does.
    """
    return _wanted_format(place, wanted).shape(wanted)


def classes_of_place(place: Place, wanted: Wanted) -> int:
    """Return the number of classes of a place where nobody says it, from its labels.

    Raises:
        DataError: as ``read_place`` does.
    """
    return _wanted_format(place, wanted).label_limit(wanted) - wanted.first_label


def class_names_of_place(place: Place, wanted: Wanted) -> tuple[str, ...]:
    """Return the names of a place's classes by label, without reading images; empty if it has only numbers.

    Raises:
        DataError: as ``read_place`` does.
    """
    return _wanted_format(place, wanted).class_names(wanted)


def format_of_place(place: Place) -> str:
    """Return in words which format a place has; raises ``DataError`` if it has none that is known."""
    return _format_of(place).name


def _wanted_format(place: Place, wanted: Wanted) -> _Format:
    """Return the format of a place; raises ``DataError`` if columns are said, and it has none."""
    found = _format_of(place)
    said = [name for name in ("image_column", "label_column") if getattr(wanted, name) is not None]
    if said and not found.has_columns:
        raise DataError(f"{place}: {' and '.join(said)} say nothing of {found.name}; remove the setting")
    return found


def _format_of(place: Place) -> _Format:
    if isinstance(place, HubSet):
        return _of_huggingface(place, "a data set on Hugging Face's hub")
    if place.exists() and not place.is_dir():
        return _format_of_file(place)
    files = idx_files(place)
    if files is not None:
        return _Format(
            "files with MNIST's names",
            lambda _: ImageShape(*shape_of_idx(files)),
            lambda wanted: _read_idx(place, files, wanted),
            lambda _: idx_label_limit(files),
            lambda wanted: wanted.class_names or files.class_names(wanted.first_label),
        )
    if not place.exists():
        raise DataError(f"{place}: no such folder or file; correct the path")
    return _format_of_folder(place)


def _format_of_folder(place: Path) -> _Format:
    if is_huggingface(place):
        return _of_huggingface(place, "a data set of Hugging Face")
    archives = sorted(path for path in place.glob("*.npz") if not path.name.startswith("."))
    if len(archives) > 1:
        raise DataError(
            f"{place}: {len(archives)} .npz files; give one of them "
            f"({', '.join(path.name for path in archives[:5])}), or set data.root to the folder and name "
            "each as a domain, or say by_holder: true with the domain if each is what one holder has"
        )
    if archives:
        return _of_npz(archives[0])
    if tables_of(place):
        return _of_tables(place)
    if is_image_folder(place):
        return _Format(
            "folders of pictures",
            lambda _: shape_of_image_folder(place),
            lambda wanted: read_image_folder(place, wanted),
            lambda wanted: image_folder_label_limit(place, wanted),
            lambda wanted: image_folder_class_names(place, wanted),
        )
    raise DataError(_nothing_in(place))


def _format_of_file(path: Path) -> _Format:
    suffix = path.suffix.casefold()
    if suffix == ".npz":
        return _of_npz(path)
    if is_table(path):
        return _of_tables(path)
    if is_huggingface_file(path):
        return _of_huggingface(path, "a file of Hugging Face's")
    instead = {
        ".npy": "write images and labels into one file with numpy.savez",
        ".zip": "unpack it, and give the folder",
        ".tar": "unpack it, and give the folder",
        ".gz": "give the folder that it lies in",
        **dict.fromkeys(SUFFIXES, "give the folder that has one folder of pictures for each class"),
    }.get(suffix, "give the folder that it lies in, or one of these")
    raise DataError(
        f"{path}: not a file of images with labels that can be read; {instead}. Known: {_known()}"
    )


def _of_npz(path: Path) -> _Format:
    return _Format(
        ".npz",
        lambda _: shape_of_npz(path),
        lambda wanted: read_npz(path, wanted),
        lambda _: npz_label_limit(path),
    )


def _of_tables(place: Path) -> _Format:
    return _Format(
        "CSV",
        lambda _: shape_of_tables(place),
        lambda wanted: read_tables(place, wanted),
        lambda wanted: table_label_limit(place, wanted),
    )


def _of_huggingface(place: Place, name: str) -> _Format:
    return _Format(
        name,
        lambda wanted: shape_of_huggingface(place, wanted),
        lambda wanted: read_huggingface(place, wanted),
        lambda wanted: huggingface_label_limit(place, wanted),
        lambda wanted: huggingface_class_names(place, wanted),
        has_columns=True,
    )


def _nothing_in(folder: Path) -> str:
    direct = [path for path in folder.iterdir() if path.suffix.casefold() in SUFFIXES]
    if direct:
        return (
            f"{folder}: {len(direct)} pictures lie directly in it, and nothing says their classes; put each "
            "into a folder of its class"
        )
    return f"{folder}: no images in it that can be read. Known: {_known()}"


def _known() -> str:
    return "; ".join(FORMATS)


def _read_idx(place: Path, files: IdxFiles, wanted: Wanted) -> Found:
    train, test = read_idx_folder(place, wanted.label_limit, needs_test=wanted.needs_test and files.has_test)
    names = wanted.class_names or files.class_names(wanted.first_label)
    turned = f"{place}: EMNIST keeps images on their side; they are turned upright"
    return Found(train, test if files.has_test else None, names, (turned,) if files.set else ())


def _counted_from_zero(place: Place, data: LabelledImages, wanted: Wanted) -> LabelledImages:
    if not wanted.first_label:
        return data
    if len(data) and int(data.labels.min()) < wanted.first_label:
        raise DataError(
            f"{place}: first_label is {wanted.first_label}, but an image has label {int(data.labels.min())}: "
            "correct the setting"
        )
    return replace(data, labels=data.labels - wanted.first_label)


def check_first(place: Place, found: Found, wanted: Wanted) -> None:
    """Raise ``FirstLabelError`` where nobody says what classes there are, and labels do not begin at 0."""
    labels = found.train.labels
    if found.class_names or wanted.classes is not None or not len(labels) or int(labels.min()) == 0:
        return
    tested = labels if found.test is None else found.test.labels
    first, last = int(labels.min()), int(torch.cat([labels, tested]).max())
    raise FirstLabelError(
        f"{place}: labels begin at {first} and end at {last}, but classes count from 0. If class 0 is called "
        f"{first} here, set first_label: {first} with the domain (huscf data: --first-label {first}); if it "
        f"only has no images, set classes: {last + 1}",
        last + 1,
    )


def without_test_share(data: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
    """Return the images to train on and a fifth of every label to test with, the same on every machine.

    A label with one image has it to train on, so that there may be none to test with. Images are moved within
    the memory of ``data``, which is of no use afterwards.
    """
    test, *rest = stratified_shares(data.labels, _TEST_PART, "test")
    train = torch.cat(rest)
    lonely = ~torch.isin(data.labels[test], data.labels[train])
    train, test = torch.cat([train, test[lonely]]).sort().values, test[~lonely]
    held = data.subset(test)
    return _left_in_place(data, train), held


def _left_in_place(data: LabelledImages, places: Tensor) -> LabelledImages:
    """Return the images at ascending ``places``, in the memory of ``data``, which is of no use afterwards.

    A copy of most images of a large set would need as much memory again.
    """
    described = replace(data, images=data.images[:, :0, :0, :0]).subset(places)
    for first in range(0, len(places), _AT_ONCE):
        part = places[first : first + _AT_ONCE]
        # Whatever is overwritten here lies at or before its new place, and has been moved already.
        data.images[first : first + len(part)] = data.images[part]
    return replace(described, images=data.images[: len(places)])
