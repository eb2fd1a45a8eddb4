"""Data sets of Hugging Face, from disk or by name; they need the extra ``datasets``.

From disk: a folder that ``save_to_disk`` has written, of one data set or of several splits; Parquet or Arrow
files, alone or in a folder (or its folder ``data``), with ``train``, ``test`` or ``validation`` in their
names. By name: what ``datasets.load_dataset`` finds on the hub or in its own cache.

The images are the one column of pictures, or one that is called ``image``; the labels the one column of
classes, or one that is called ``label``. Other columns of numbers and texts stay with the training images, so
that images can be dealt by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from huscf_flwr.data.formats.arrays import Labels, channels_first, labels_of
from huscf_flwr.data.formats.damage import Damage
from huscf_flwr.data.formats.found import (
    Found,
    ImageShape,
    Wanted,
    check_labels,
    labels_by_name,
    named_by_number,
)
from huscf_flwr.data.formats.huggingface_parts import Parts, Source, is_class, opened, read_errors
from huscf_flwr.data.formats.mixture import Mixture
from huscf_flwr.data.formats.pictures import common_shape, read_pictures, surveyed, usual_shape
from huscf_flwr.data.images import DataError, DescribedImages, ImageForm, together
from huscf_flwr.data.progress import counted
from huscf_flwr.naming import by_count

_ROWS_AT_ONCE = 1000
_NO_LABEL = -1
"""What a test part of a competition has instead of labels."""


@dataclass(frozen=True)
class _Classes:
    """What classes are called, and how the labels that stand there become ours."""

    names: tuple[str, ...]
    """By label; empty if there are only numbers."""
    label_of: Mapping[Any, int] | None
    """By what stands there; None if labels stand there."""
    count: int = 0
    """At least so many classes there are."""


def shape_of_huggingface(source: Source, wanted: Wanted = Wanted()) -> ImageShape:  # noqa: B008  (frozen)
    """Return the usual shape of the training images; raises ``DataError`` as ``read_huggingface`` does."""
    with read_errors(source):
        return _usual_shape(opened(source, wanted))


def huggingface_label_limit(source: Source, wanted: Wanted) -> int:
    """Return one more than the largest label, or as many classes as the data set says that it has.

    Raises:
        DataError: as ``read_huggingface`` does.
    """
    with read_errors(source):
        parts = opened(source, wanted)
        classes = _classes(parts, wanted)
        labels = {name: _labels(parts, name, classes) for name in parts.by_name}
        said = max(each.classes for each in labels.values())
        return max(classes.count, said, len(classes.names), int(labels["train"].numbers.max()) + 1)


def huggingface_class_names(source: Source, wanted: Wanted) -> tuple[str, ...]:
    """Return what the classes are called, by label, if they have names; raises ``DataError`` likewise."""
    with read_errors(source):
        return _classes(opened(source, wanted), wanted).names


def read_huggingface(source: Source, wanted: Wanted) -> Found:
    """Return the images of a data set of Hugging Face.

    Raises:
        DataError: naming the place, if it cannot be read or reached, has no column of images or of labels, or
            several, or one of its images cannot be decoded.
    """
    with read_errors(source):
        parts = opened(source, wanted)
        classes = _classes(parts, wanted)
        notes = [f"{source}: split {name} is not looked at" for name in parts.ignored]
        said = {name: _labels(parts, name, classes) for name in parts.by_name}
        labels = {name: each.numbers for name, each in said.items()}
        for name in ("validation", "test"):
            if name in labels and len(labels[name]) and (labels[name] == _NO_LABEL).all():
                notes.append(f"{source}: split {name} has no labels, and is not looked at")
                del labels[name]
        for name, values in labels.items():
            check_labels(values, wanted.label_limit, f"{source}, {name}")
        mixture = Mixture(source)
        found = _images(parts, labels, wanted, mixture)
        notes += mixture.notes()
        train, test = found["train"], found.get("test")
        if "validation" in found:
            more = found["validation"]
            if test is None:
                notes.append(f"{source}: split validation is taken for the test part")
            else:
                join = by_count(len(more), "image of validation joins", "images of validation join")
                notes.append(f"{source}: the {len(more)} {join} the training images")
            train, test = (train, more) if test is None else (_joined(train, more), test)
        count = max(classes.count, *(each.classes for each in said.values()))
        return Found(train, test, classes.names, tuple(notes), _usual_shape(parts), count)


def _usual_shape(parts: Parts) -> ImageShape:
    if not parts.has_pictures:
        return ImageShape(*_arrays(parts, "train", 1).shape[1:])
    return usual_shape(parts.source, parts.pictures("train", surveyed(len(parts.train))))


def _classes(parts: Parts, wanted: Wanted) -> _Classes:
    feature = parts.train.features[parts.label]
    if is_class(feature):
        names = tuple(feature.names)
        are_numbers = names == tuple(map(str, range(len(names))))
        if wanted.class_names and not are_numbers:
            by_name = labels_by_name(parts.source, names, wanted, "class")
            return _Classes(wanted.class_names, {place: by_name[name] for place, name in enumerate(names)})
        return _Classes(wanted.class_names or (() if are_numbers else names), None, len(names))
    if getattr(feature, "dtype", None) in ("string", "large_string"):
        found = {name for data in parts.by_name.values() for name in data.unique(parts.label)}
        by_name = labels_by_name(parts.source, sorted(found - {None}), wanted, "class")
        are_numbers = all(name.isdecimal() for name in by_name)
        return _Classes(wanted.class_names or (() if are_numbers else tuple(by_name)), by_name)
    return _Classes(wanted.class_names, None)


def _labels(parts: Parts, part: str, classes: _Classes) -> Labels:
    """Return the labels of a part."""
    found = parts.by_name[part].with_format(None).select_columns([parts.label])[:][parts.label]
    if None in found:
        raise DataError(
            f"{parts.source}: {part} image {found.index(None)} has no label; remove it, or name it a class"
        )
    label_of = None if classes.label_of is None else {_NO_LABEL: _NO_LABEL, **classes.label_of}
    values = np.array(found if label_of is None else [label_of[each] for each in found])
    return labels_of(
        values,
        f"{parts.source}: column {parts.label}",
        "if others are the labels, say label_column with the domain",
    )


def _images(
    parts: Parts, labels: Mapping[str, NDArray[np.int64]], wanted: Wanted, mixture: Mixture
) -> dict[str, DescribedImages]:
    """Return the images of the parts that have labels, those of all parts of the same form."""
    form: ImageForm | ImageShape | None = wanted.image
    if parts.has_pictures and form is None:
        every = (picture for part in labels for picture in parts.pictures(part))
        form = common_shape(parts.source, every)
    found, damage = {}, Damage(parts.source)
    for part, known in labels.items():
        if form is not None and parts.has_pictures:
            place = f"{parts.source}, {part}"
            images = read_pictures(parts.pictures(part), len(known), form, place, damage, mixture)
        else:
            images = torch.from_numpy(_arrays(parts, part, len(known)))
        data = DescribedImages(images, torch.from_numpy(known), _columns(parts, part))
        found[part] = named_by_number(data, part, parts.source, wanted)
    damage.refuse()
    return found


def _arrays(parts: Parts, part: str, count: int) -> NDArray[np.uint8]:
    """Return the first ``count`` images of a part that are arrays of pixels, [N, C, H, W].

    They are read in parts, of which only one is held beside the whole.
    """
    data = parts.by_name[part].select_columns([parts.image]).with_format("numpy")
    source = f"{parts.source}, column {parts.image} of {part}"
    if not count:
        return _arrays(parts, "train", 1)[:0]
    places = counted(
        range(0, count, _ROWS_AT_ONCE), count, f"reading {parts.source}, {part}", each=_ROWS_AT_ONCE
    )
    whole = None
    for first in places:
        some = _stacked(data[first : min(first + _ROWS_AT_ONCE, count)][parts.image], source)
        if whole is None:
            whole = np.empty((count, *some.shape[1:]), np.uint8)
        if some.shape[1:] != whole.shape[1:]:
            raise _differing(source, f"{list(some.shape[1:])} and {list(whole.shape[1:])}")
        whole[first : first + len(some)] = some
    assert whole is not None
    return whole


def _stacked(rows: Iterable[Any], source: str) -> NDArray[np.uint8]:
    try:
        array = np.stack(list(rows))
    except ValueError as error:
        raise _differing(source, str(error)) from error
    return channels_first(array, source)


def _differing(source: str, why: str) -> DataError:
    return DataError(f"{source}: images differ in size, or are none ({why}); say image_column")


def _columns(parts: Parts, part: str) -> dict[str, NDArray[Any]]:
    """Return what there is of each image beside its pixels: the columns of numbers, names and classes."""
    data = parts.by_name[part].with_format(None)
    plain = [
        name
        for name, feature in data.features.items()
        if name != parts.image and type(feature).__name__ in ("Value", "ClassLabel")
    ]
    return {name: _column(data.select_columns([name])[:][name]) for name in plain}


def _column(values: list[Any]) -> NDArray[Any]:
    # NumPy's own texts are all as long as the longest, at four bytes a character.
    is_text = any(isinstance(value, str) for value in values)
    return np.array(values, dtype=object if is_text else None)


def _joined(train: DescribedImages, more: DescribedImages) -> DescribedImages:
    columns = {
        name: np.concatenate([values, more.columns[name]])
        for name, values in train.columns.items()
        if name in more.columns
    }
    both = together([train, more])
    return DescribedImages(both.images, both.labels, columns, origins=both.origins)
