"""Files with pictures, decoded by Pillow to unsigned bytes as a person sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from huscf_flwr.data.formats.damage import Damage
from huscf_flwr.data.formats.found import ImageShape, VariedSizesError, named_if_damaged, usual_of
from huscf_flwr.data.formats.mixture import Mixture
from huscf_flwr.data.images import DataError, ImageForm, LabelledImages, convert
from huscf_flwr.data.progress import counted
from huscf_flwr.extras import extra

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""How names of pictures end, in lower case."""

_GREY = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"})
_COLOUR = frozenset({"RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "P", "PA"})
_WITH_ALPHA = frozenset({"LA", "La", "RGBA", "RGBa", "PA"})
_TURNED = frozenset({5, 6, 7, 8})
"""Values of EXIF's orientation with which height and width are swapped."""
_ORIENTATION = 0x0112
_SURVEYED = 500


class EncodedPicture(NamedTuple):
    """What would be in a picture's file, nothing if there is none, and how an error calls it."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


def read_pictures(
    pictures: Iterable[Path | EncodedPicture],
    count: int,
    form: ImageForm | ImageShape,
    place: object,
    damage: Damage,
    mixture: Mixture | None = None,
) -> Tensor:
    """Return ``count`` pictures as uint8 [N, C, H, W], each brought to the form as soon as it is read.

    ``place`` is what they are in, for whoever is told how far it is. What is wrong with a picture is noted in
    ``damage``, and the others are read all the same: the caller refuses when it has read all that it wants.
    In what pictures differ is noted in ``mixture``.
    """
    sides = (form.size, form.size) if isinstance(form, ImageForm) else (form.height, form.width)
    images = torch.empty((count, form.channels, *sides), dtype=torch.uint8)
    for number, source in enumerate(counted(pictures, count, f"reading {place}")):
        with damage.noted(source):
            picture = read_picture(source, mixture)[None]
            if isinstance(form, ImageForm):
                one = LabelledImages(picture, torch.zeros(1, dtype=torch.int64))
                picture = convert(one, form.channels, form.size, form.fit).images
            images.numpy()[number] = picture[0].numpy()
    return images


def common_shape(place: object, pictures: Iterable[Path | EncodedPicture]) -> ImageShape:
    """Return the shape that all pictures of a place have; in colour if any is.

    Damaged ones are passed over: reading them all says which they are.

    Raises:
        VariedSizesError: if they differ in size.
        DamagedPicturesError: if none can be read.
    """
    looked_at = counted(pictures, None, f"looking at the sizes of {place}")
    shapes: list[ImageShape] = []
    first_of: dict[tuple[int, int], str] = {}
    for picture, shape in _readable(looked_at, place):
        shapes.append(shape)
        first_of.setdefault((shape.height, shape.width), str(picture))
    if len(first_of) > 1:
        sizes = Counter((shape.height, shape.width) for shape in shapes)
        rarest = min(first_of, key=sizes.__getitem__)
        raise VariedSizesError(
            f"{place}: its pictures have {len(sizes)} different sizes, {rarest[0]} x {rarest[1]} in "
            f"{first_of[rarest]}, and nothing says which they should have: give a size in pixels",
            usual_of(shapes),
        )
    return max(shapes)


def usual_shape(place: object, pictures: Iterable[Path | EncodedPicture]) -> ImageShape:
    """Return the shape of pictures that may differ: colour if any is, and the medians of height and width.

    Damaged ones are passed over, as ``common_shape`` does, which says what is raised.
    """
    return usual_of([shape for _, shape in _readable(pictures, place)])


def _readable(
    pictures: Iterable[Path | EncodedPicture], place: object
) -> Iterator[tuple[Path | EncodedPicture, ImageShape]]:
    """Yield the pictures whose headers can be read, with their shapes; refuse if there are none."""
    damage, found = Damage(place), False
    for picture in pictures:
        shape = None
        with damage.noted(picture):
            shape = shape_of_picture(picture)
        if shape is not None:
            found = True
            yield picture, shape
    if not found:
        damage.refuse()


def surveyed(count: int) -> range:
    """Return which of so many pictures are looked at to tell their usual shape, spread evenly."""
    return range(0, count, -(-count // _SURVEYED))


def read_picture(path: Path | EncodedPicture, mixture: Mixture | None = None) -> Tensor:
    """Return a picture as uint8 [C, H, W], grey (1) or colour (3).

    1 and 16 bits, palettes and CMYK become 8 bits of grey or colour. What is transparent shows white. A
    photograph that says that it was taken with a turned camera is turned upright.

    Raises:
        DataError: naming the file, if it is damaged, has several frames, or has pixels that are neither grey
            nor colour, such as depths.
    """
    with _opened(path) as picture:
        from PIL import ImageOps  # noqa: PLC0415 - a device may have no pictures, and no Pillow

        # A picture that is turned no longer knows its format.
        grey, deep = _is_grey(picture, path), _is_deep(picture)
        upright = ImageOps.exif_transpose(picture)
        deep_end = None
        if deep:
            deep_end = int(np.asarray(upright).max())
            # Pillow would clip 16 bits instead of scaling them.
            pixels = (np.asarray(upright).astype(np.float64) / 257).round().astype(np.uint8)
        else:
            flat = _flat(upright)
            pixels = np.array((flat or upright).convert("L" if grey else "RGB"))
        if mixture is not None:
            height, width = pixels.shape[:2]
            transparent = not deep and flat is not None
            mixture.take(path, (height, width), grey=grey, transparent=transparent, deep_end=deep_end)
    # NumPy copies in this thread: PyTorch's threads wait for each other where cores have other work.
    return torch.from_numpy(np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)))


def shape_of_picture(path: Path | EncodedPicture) -> ImageShape:
    """Return the shape that ``read_picture`` will give, from the file's header; raises the same error."""
    with _opened(path) as picture:
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return ImageShape(1 if _is_grey(picture, path) else 3, height, width)


@contextmanager
def _opened(path: Path | EncodedPicture) -> Iterator[Image.Image]:
    with extra("images", f"reading {path}"):
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - as above
    with named_if_damaged(path, "cannot be decoded", "remove or replace it"):
        if isinstance(path, EncodedPicture) and not path.content:
            raise DataError(f"{path}: no picture there; remove it")
        try:
            opened = Image.open(path if isinstance(path, Path) else BytesIO(path.content))
        except UnidentifiedImageError as error:
            raise DataError(f"{path}: not a picture, whatever its name says; remove or replace it") from error
        with opened as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames > 1:
                raise DataError(f"{path}: {frames} frames; give one picture a file")
            yield picture


def _is_grey(picture: Image.Image, path: Path | EncodedPicture) -> bool:
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


def _flat(picture: Image.Image) -> Image.Image | None:
    """Return the picture over white where it is transparent; None if nothing of it is."""
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return None
    from PIL import Image  # noqa: PLC0415 - as above

    over = picture.convert("RGBA")
    if over.getchannel("A").getextrema() == (255, 255):
        return None
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
