"""Arrays of pixels and of labels, as in NumPy's files, to unsigned bytes and whole numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.data.images import DataError
from huscf_flwr.naming import by_count

_LARGEST = 2**62
"""What goes further may be too large for whole numbers of 64 bits."""
_NEAR_ZERO = 16
"""Pixels that go no further were divided by their standard deviation, or by something else than 255."""


class Labels(NamedTuple):
    """One label an image, int64 [N], and so many classes as an array of ones and noughts has; else 0."""

    numbers: NDArray[np.int64]
    classes: int = 0


def channels_first(array: NDArray[np.generic], source: str) -> NDArray[np.uint8]:
    """Return grey or colour images as [N, C, H, W].

    Args:
        array: [N, H, W], [N, H, W, C], or [N, C, H, W] where that cannot be misunderstood.
        source: what holds them, for errors.

    Raises:
        DataError: naming ``source``, for other shapes and for pixels that are no whole numbers from 0 to 255.
    """
    shape = array.shape
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape[1:]:
        raise DataError(
            f"{source} has shape {list(shape)}, which is neither grey images [N, H, W] nor colour images "
            f"[N, H, W, 3]; {_shape_hint(shape)}"
        )
    return np.ascontiguousarray(pixels_of(array, source).transpose(0, 3, 1, 2))


def pixels_of(array: NDArray[np.generic], source: str) -> NDArray[np.uint8]:
    """Return whole numbers from 0 to 255, of any shape and type, as unsigned bytes.

    Numbers with a point are taken if they are whole and go beyond 1: from 0 to 1 they are shares of white. If
    all are 0, or there are none, they may be either.

    Raises:
        DataError: for other numbers, naming ``source``, the type and the range found.
    """
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    if array.dtype.kind not in "iufb":
        raise DataError(
            f"{source}: pixels are {array.dtype}, but must be whole numbers from 0 to 255: write them as "
            "unsigned bytes"
        )
    _check_finite(array, source)
    lowest, highest = (array.min(), array.max()) if array.size else (0, 0)
    is_whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and highest > 1 and _is_whole(array))
    if not array.size or ((is_whole or lowest == highest == 0) and lowest >= 0 and highest <= 255):
        return array.astype(np.uint8)
    hint, why = _pixel_hint(array, float(lowest), float(highest))
    raise DataError(
        f"{source}: pixels are {array.dtype} from {lowest} to {highest}, but must be whole numbers from 0 to "
        f"255: write {hint} as unsigned bytes{why}"
    )


def labels_of(array: NDArray[np.generic], source: str, otherwise: str) -> Labels:
    """Return one label an image, int64 [N], and the number of classes if the array says it.

    Args:
        array: whole numbers of any type, [N] or with further sides of one, or one-hot [N, classes]: one 1 a
            row, and otherwise 0.
        source: what holds them, for errors.
        otherwise: what to do where they are something else.

    Raises:
        DataError: naming ``source``, for anything else, with what was found.
    """
    if array.dtype.kind in "US":
        raise DataError(
            f"{source} are texts, such as {array.reshape(-1)[:1].tolist()}, not whole numbers: write "
            "numpy.searchsorted(names, labels) for every part, with one names = "
            "numpy.unique([*train_labels, *test_labels]) for all parts, which are the class_names of the "
            "domain"
        )
    if array.ndim and array.shape[0] == array.size:
        array = array.reshape(-1)
    elif array.ndim == 2 and _is_one_hot(array):
        return Labels(np.asarray(np.argmax(array, axis=1), dtype=np.int64), array.shape[1])
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        raise DataError(
            f"{source} is {array.dtype} of shape {list(array.shape)}, not one whole number an image, [N] or "
            f"[N, 1], nor one-hot; {otherwise}"
        )
    wrong = np.flatnonzero(~np.isfinite(array) | (np.abs(array.astype(np.float64)) > _LARGEST))
    wrong = wrong if len(wrong) or _is_whole(array) else np.flatnonzero(array != np.floor(array))
    if len(wrong):
        raise DataError(
            f"{source}: label {array[wrong[0]]} of sample {wrong[0]} is no whole number of a class; "
            f"{len(wrong):,} of {len(array):,} {by_count(len(wrong), 'is', 'are')} so: number the classes "
            "from 0"
        )
    return Labels(array.astype(np.int64))


def _check_finite(array: NDArray[np.generic], source: str) -> None:
    """Raise ``DataError`` if an image has pixels that are no numbers, or infinite."""
    if array.dtype.kind != "f" or not array.size:
        return
    # A sum takes no memory, but of half precision it soon is too large, and warns of what is found below.
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(bad):
        have, them = by_count(len(bad), "has", "have"), by_count(len(bad), "it", "them")
        raise DataError(
            f"{source}: {len(bad):,} of {len(array):,} images {have} pixels that are NaN or infinite, the "
            f"first is image {bad[0]}: correct or remove {them}"
        )


def _is_whole(array: NDArray[np.generic]) -> bool:
    return array.dtype.kind != "f" or bool((array == np.floor(array)).all())


def _is_one_hot(array: NDArray[np.generic]) -> bool:
    if array.dtype.kind not in "iufb" or array.shape[1] < 2:
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _pixel_hint(array: NDArray[np.generic], lowest: float, highest: float) -> tuple[str, str]:
    """Return what brings pixels of a range to 0..255, as one would write it in NumPy, and more to say of it.

    What is written is to be the same for all parts of a set, so it may depend on a part's range as little as
    can be.
    """
    kind = array.dtype.kind
    if kind == "b":
        return "255 * images", ""
    furthest = max(-lowest, highest)
    if kind == "f" and (furthest <= 1 or (furthest <= _NEAR_ZERO and not _is_whole(array))):
        return _near_zero_hint(lowest, highest)
    if lowest < 0:
        is_shifted = furthest > _NEAR_ZERO and lowest >= -128 and highest <= 127 and _is_whole(array)
        return ("images.astype(int) + 128" if is_shifted else "them from 0 to 255"), ""
    return ("images.round()", "") if highest <= 255 else _divided(highest)


def _near_zero_hint(lowest: float, highest: float) -> tuple[str, str]:
    """Return the same for numbers with a point that go no further than ``_NEAR_ZERO``."""
    if lowest >= 0:
        return ("(255 * images).round()", "") if highest <= 1 else _divided(highest)
    if max(-lowest, highest) <= 0.5:
        return "(255 * (images + 0.5)).round()", ""
    if -1 <= lowest < -0.5 and highest <= 1:
        return "(127.5 * (images + 1)).round()", ""
    return "(255 * (images * std + mean)).round()", ", with the mean and std that they were normalised by"


def _divided(highest: float) -> tuple[str, str]:
    number = f"{highest:g}"
    return f"(images * (255 / {number})).round()", (
        f", with the same number for all parts: in place of {number} the largest that any of them has"
    )


def _shape_hint(shape: tuple[int, ...]) -> str:
    """Return what to do with an array that has not the shape of images."""
    if len(shape) == 4 and 4 in (shape[1], shape[3]):
        return f"leave out the fourth channel: images[{'..., :3' if shape[3] == 4 else ':, :3'}]"
    if len(shape) == 4 and 2 in (shape[1], shape[3]):
        return f"leave out the second channel: images[{'..., :1' if shape[3] == 2 else ':, :1'}]"
    if len(shape) == 2 and (side := math.isqrt(shape[1])) > 1 and side * side == shape[1]:
        return f"if each row is a square image, write images.reshape(-1, {side}, {side})"
    return "write them so"
