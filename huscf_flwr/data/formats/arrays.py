"""Arrays of pixels, as in NumPy's files, to unsigned bytes with channels first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.data.images import DataError


def channels_first(array: NDArray[np.generic], source: str) -> NDArray[np.uint8]:
    """Return grey or colour images as [N, C, H, W].

    Args:
        array: [N, H, W], [N, H, W, C], or [N, C, H, W] where that cannot be misunderstood.
        source: what holds them, for errors.

    Raises:
        DataError: naming ``source``, for other shapes and for pixels that are no whole numbers from 0 to 255.
    """
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape[1:]:
        raise DataError(
            f"{source} has shape {list(array.shape)}, which is neither grey images [N, H, W] nor colour "
            "images [N, H, W, 3]; write them so"
        )
    return np.ascontiguousarray(pixels_of(array, source).transpose(0, 3, 1, 2))


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
