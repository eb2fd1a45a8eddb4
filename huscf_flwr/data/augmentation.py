"""Random changes of images that leave their labels as they are."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Augmentation = Literal["none", "affine", "affine-flip"]
"""How images are changed before a classifier trains on them; see ``ClassifierSection.augmentation``."""

_DEGREES, _SHEAR, _SCALE, _SHIFT = 15.0, 0.15, 0.15, 0.1
"""Largest angle, shear, change of scale, and shift as a share of the side."""


def augmented(images: Tensor, how: Augmentation, stream: torch.Generator) -> Tensor:
    """Return ``images`` [N, C, H, W], floating point, each changed in its own way.

    With ``affine`` an image is turned by up to 15 degrees, sheared by up to 0.15, made wider or narrower and
    higher or lower by up to 15 %, and shifted by up to a tenth of its side; pixels from outside are those of
    the nearest edge. With ``affine-flip`` it is also mirrored, left to right, half of the time. What is drawn
    comes from ``stream``, a generator on the CPU, whatever the images' device and type.
    """
    if how == "none" or not len(images):
        return images
    maps = _affine_maps(len(images), flipped=how == "affine-flip", stream=stream).to(images)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _affine_maps(count: int, *, flipped: bool, stream: torch.Generator) -> Tensor:
    """Return ``count`` maps [N, 2, 3] from places in a new image to places in the old, both from -1 to 1."""
    drawn = torch.rand(count, 6, generator=stream) * 2 - 1
    angle, shear = drawn[:, 0] * math.radians(_DEGREES), drawn[:, 1] * _SHEAR
    wide, high = 1 + drawn[:, 2] * _SCALE, 1 + drawn[:, 3] * _SCALE
    if flipped:
        wide = wide * (1 - 2 * torch.randint(2, (count,), generator=stream))
    cosine, sine = angle.cos(), angle.sin()
    across = torch.stack([cosine * wide, (shear * cosine - sine) * high, drawn[:, 4] * 2 * _SHIFT], dim=1)
    down = torch.stack([sine * wide, (shear * sine + cosine) * high, drawn[:, 5] * 2 * _SHIFT], dim=1)
    return torch.stack([across, down], dim=1)
