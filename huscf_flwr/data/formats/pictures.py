"""One file with a picture, decoded by Pillow to unsigned bytes as a person sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from huscf_flwr.data.formats.found import ImageShape
from huscf_flwr.data.images import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""How names of pictures end, in lower case."""

_GREY = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"})
_COLOUR = frozenset({"RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "P", "PA"})
_WITH_ALPHA = frozenset({"LA", "La", "RGBA", "RGBa", "PA"})
_TURNED = frozenset({5, 6, 7, 8})
"""Values of EXIF's orientation with which height and width are swapped."""
_ORIENTATION = 0x0112


def read_picture(path: Path) -> Tensor:
    """Return a picture as uint8 [C, H, W], grey (1) or colour (3).

    1 and 16 bits, palettes and CMYK become 8 bits of grey or colour. What is transparent shows white. A
    photograph that says that it was taken with a turned camera is turned upright.

    Raises:
        DataError: naming the file, if it is damaged, has several frames, or has pixels that are neither grey
            nor colour, such as depths.
    """
    with _opened(path) as picture:
        grey = _is_grey(picture, path)
        upright = ImageOps.exif_transpose(picture)
        if _is_deep(upright):
            # Pillow would clip 16 bits instead of scaling them.
            pixels = (np.asarray(upright).astype(np.float64) / 257).round().astype(np.uint8)
        else:
            pixels = np.array(_flat(upright).convert("L" if grey else "RGB"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous()


def shape_of_picture(path: Path) -> ImageShape:
    """Return the shape that ``read_picture`` will give, from the file's header; raises the same error."""
    with _opened(path) as picture:
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return ImageShape(1 if _is_grey(picture, path) else 3, height, width)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames > 1:
                raise DataError(f"{path}: {frames} frames; give one picture a file")
            yield picture
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a picture, whatever its name says; remove or replace it") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); remove or replace it") from error


def _is_grey(picture: Image.Image, path: Path) -> bool:
    if picture.mode in _GREY or _is_deep(picture):
        return True
    if picture.mode not in _COLOUR:
        raise DataError(
            f"{path}: its pixels are of kind {picture.mode} ({picture.format}), which is neither grey nor "
            "colour of 8 bits: save it as a PNG of 8 bits"
        )
    palette = picture.getpalette("RGB") if picture.mode in ("P", "PA") else None
    return palette is not None and palette[0::3] == palette[1::3] == palette[2::3]


def _is_deep(picture: Image.Image) -> bool:
    """Return whether pixels are grey of 16 bits; older versions of Pillow call those of a PNG ``I``."""
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG")


def _flat(picture: Image.Image) -> Image.Image:
    """Return the picture over white where it is transparent."""
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return picture
    over = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
