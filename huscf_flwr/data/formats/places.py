"""Reading the images of a place, whatever its format, which is chosen by what is found there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from huscf_flwr.data.formats.choice import Format, Place, format_of
from huscf_flwr.data.formats.found import FirstLabelError, Found, ImageShape, Wanted, named_by_number
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.data.shares import stratified_shares

_TEST_PART = 5
"""One image of so many is for testing, where a place has no test part."""

_AT_ONCE = 2048


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
    form = _wanted_format(place, wanted)
    found = form.read(wanted)
    if not len(found.train):
        raise DataError(f"{place}: no images to train on; give at least one")
    forms = [list(each.images.shape[1:]) for each in (found.train, found.test) if each is not None]
    if forms[0] != forms[-1] and len(found.test or ()):
        raise DataError(
            f"{place}: training images have the form {forms[0]} (channels, height, width), test images "
            f"{forms[1]}; bring them to one"
        )
    test = None if found.test is None else _counted_from_zero(place, found.test, wanted)
    train = _counted_from_zero(place, found.train, wanted)
    train = named_by_number(train, "train", place, wanted)
    test = None if test is None else named_by_number(test, "test", place, wanted)
    classes = max(found.classes - wanted.first_label, 0)
    return replace(found, train=train, test=test, notes=(*form.notes, *found.notes), classes=classes)


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
    return format_of(place).name


def _wanted_format(place: Place, wanted: Wanted) -> Format:
    """Return the format of a place; raises ``DataError`` if a column is said that it has not."""
    found = format_of(place)
    for name in ("image_column", "label_column"):
        if getattr(wanted, name) is not None and name not in found.columns:
            raise DataError(f"{place}: {name} says nothing of {found.name}; remove the setting")
    return found


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
    classes = max(last + 1, found.classes)
    more = "" if found.classes else " or more"
    raise FirstLabelError(
        f"{place}: labels begin at {first} and end at {last}, but classes count from 0. If class 0 is called "
        f"{first} here, set first_label: {first} with the domain (huscf data: --first-label {first}); if it "
        f"only has no images, as with a client that lacks it, set classes: {classes}{more} (huscf data: "
        f"--classes {classes})",
        classes,
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
