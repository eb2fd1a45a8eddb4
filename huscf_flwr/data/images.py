"""Labelled images in memory, and the only functions that change their form.

Images stay unsigned bytes (one byte per pixel and channel, as on disk) until they are used in a batch:
``normalise`` then maps them to the range of the generator's Tanh. ``convert`` brings them to the network's
size and number of channels once, when they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from huscf_flwr.data.progress import counted

# ITU-R BT.601: the weights of red, green and blue with which Pillow and OpenCV compute grey.
_LUMA = (0.299, 0.587, 0.114)
_IMAGES_AT_ONCE = 2048

Fit = Literal["pad", "crop", "stretch"]
"""How an image that is not square becomes square; see ``DataSection.fit``."""


class DataError(ValueError):
    """Data that cannot be used; the message names the file or the setting and says what to do."""


@dataclass(frozen=True, eq=False)
class Origins:
    """What each of some images is called where it was read, so that a warning can name it.

    Attributes:
        places: int64 tensor [N], each image's place there.
        names: what is at each place, such as a file; or what an image's number stands behind, such as
            ``test image``.
    """

    places: Tensor
    names: Sequence[str] | str

    @classmethod
    def of(cls, count: int, names: Sequence[str] | str) -> Origins:
        """Return the origins of images that are all there, in the order of their places."""
        return cls(torch.arange(count), names)

    def name(self, image: int) -> str:
        """Return what an image is called."""
        place = int(self.places[image])
        return f"{self.names} {place}" if isinstance(self.names, str) else self.names[place]

    def subset(self, indices: Tensor) -> Origins:
        """Return the origins of the images at ``indices`` (int64 tensor [M]), in that order."""
        return Origins(self.places[indices], self.names)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their labels, in the same order.

    Attributes:
        images: uint8 tensor [N, C, H, W].
        labels: int64 tensor [N].
        holders: int64 tensor [N], from 0: who has each image by its nature, such as the speaker of a
            recording; None if nothing says so.
        origins: what each image is called where it was read; None if nobody will ask.

    Raises:
        DataError: if dtypes, numbers of dimensions or lengths differ from these.
    """

    images: Tensor
    labels: Tensor
    holders: Tensor | None = field(default=None, kw_only=True)
    origins: Origins | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                f"images must be uint8 [N, C, H, W], found {self.images.dtype} {list(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError(f"labels must be int64 [N], found {self.labels.dtype} {list(self.labels.shape)}")
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.holders is not None and self.holders.shape != self.labels.shape:
            raise DataError(f"{len(self.images)} images but holders {list(self.holders.shape)}")
        if self.origins is not None and self.origins.places.shape != self.labels.shape:
            raise DataError(f"{len(self.images)} images but origins {list(self.origins.places.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def none(self) -> LabelledImages:
        """No images, of the same channels and size."""
        return self.subset(torch.empty(0, dtype=torch.int64))

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """By name, what is known of each image beside its label, each [N]: ``holder``, if there are any."""
        return {} if self.holders is None else {"holder": self.holders.numpy()}

    def subset(self, indices: Tensor) -> LabelledImages:
        """Return a copy of the images and labels at ``indices`` (int64 tensor [M]), in that order."""
        return LabelledImages(self.images[indices], self.labels[indices], **self._beside(indices))

    def _beside(self, indices: Tensor) -> dict[str, Any]:
        """Return the optional fields of the images at ``indices``."""
        return {
            "holders": None if self.holders is None else self.holders[indices],
            "origins": None if self.origins is None else self.origins.subset(indices),
        }


def together(parts: Sequence[LabelledImages]) -> LabelledImages:
    """Return images and labels of all ``parts``, one part's after the other's; not who holds them."""
    known = [part.origins for part in parts if part.origins is not None]
    names = [origins.name(image) for origins in known for image in range(len(origins.places))]
    return LabelledImages(
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        origins=Origins.of(len(names), names) if len(known) == len(parts) else None,
    )


@dataclass(frozen=True, eq=False)
class PooledImages(LabelledImages):
    """Images that several clients hold, one client's after the other's.

    Attributes:
        shares: number of images of each client, in their order.

    Raises:
        DataError: as for ``LabelledImages``, or if the shares do not add up to the number of images.
    """

    shares: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(self.shares) != len(self.labels):
            raise DataError(f"shares of {sum(self.shares)} images, but {len(self.labels)} images")


@dataclass(frozen=True, eq=False)
class DescribedImages(LabelledImages):
    """Images of which more is known than their labels, such as who took them.

    Attributes:
        described: by name, a column [N] each.

    Raises:
        DataError: as for ``LabelledImages``, or if a column has another length.
    """

    described: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in self.described.items():
            if len(values) != len(self.labels):
                raise DataError(f"column {name} has {len(values)} values for {len(self.labels)} images")

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """By name, what is known of each image beside its label, each [N]."""
        return {**super().columns, **self.described}

    def subset(self, indices: Tensor) -> DescribedImages:
        """Return a copy of images, labels and columns at ``indices`` (int64 tensor [M]), in that order."""
        described = {name: values[indices.numpy()] for name, values in self.described.items()}
        beside = self._beside(indices)
        return DescribedImages(self.images[indices], self.labels[indices], described, **beside)


def normalise(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map uint8 pixels of any shape from 0..255 to -1..1, the range of a Tanh generator."""
    return images.to(dtype) / 127.5 - 1.0


def denormalise(images: Tensor) -> Tensor:
    """Map floating-point images of any shape from -1..1 to uint8; values outside are clipped."""
    return ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class ImageForm:
    """The form that a network expects of an image.

    Attributes:
        channels: 1 or 3.
        size: pixels per side of the square.
        fit: what is done with images that are not square.
    """

    channels: int
    size: int
    fit: Fit = "pad"


def convert(data: LabelledImages, channels: int, size: int, fit: Fit = "pad") -> LabelledImages:
    """Convert images to the network's number of channels (1 or 3) and size (pixels per side).

    Colour becomes grey by BT.601 luma, and grey becomes colour by repetition. Images that are not square are
    padded with black on both sides, or cropped to their middle, or stretched, as ``fit`` says; then they are
    resized by antialiased bilinear interpolation.

    Raises:
        DataError: if there is no such conversion.
    """
    found = data.images.shape[1]
    if found != channels and {found, channels} != {1, 3}:
        raise DataError(
            f"images have {found} channels and the network expects {channels}: only grey (1) and "
            f"colour (3) can be converted into each other"
        )
    if data.images.shape[1:] == (channels, size, size):
        return data
    converted = data.images.new_empty((len(data), channels, size, size))
    places: Iterable[int] = range(0, len(data), _IMAGES_AT_ONCE)
    if len(data) > _IMAGES_AT_ONCE:
        # Of a few, such as one of many pictures that are being read, there is nothing to tell.
        places = counted(places, len(data), f"bringing images to {size} pixels", each=_IMAGES_AT_ONCE)
    for first in places:
        part = slice(first, first + _IMAGES_AT_ONCE)
        converted[part] = _convert(data.images[part], channels, size, fit)
    return replace(data, images=converted)


def _convert(images: Tensor, channels: int, size: int, fit: Fit) -> Tensor:
    pixels = _squared(images, fit).float()
    if pixels.shape[1] > channels:
        pixels = (pixels * pixels.new_tensor(_LUMA)[None, :, None, None]).sum(dim=1, keepdim=True)
    if pixels.shape[2:] != (size, size):
        pixels = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8).expand(-1, channels, -1, -1)


def _squared(images: Tensor, fit: Fit) -> Tensor:
    height, width = images.shape[2:]
    if height == width or fit == "stretch":
        return images
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return images[:, :, top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return functional.pad(images, (left, side - width - left, top, side - height - top))
