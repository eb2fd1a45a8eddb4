"""Derived domains: another domain's images, transformed, under its name and that of the transform.

``mnist-inverted`` are MNIST's images in negative, ``digits-rotated`` the digits turned by a quarter, and
``mnist-over-cifar10`` MNIST's digits laid over patches of CIFAR-10's photographs. They have the base domain's
labels, and so are domains that overlap with it: the same classes, other pixels. The base may be derived
itself. Training and test images are transformed alike; test images lie over test photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.seeding import torch_stream

_OVER = "-over-"
_SEED = 0


def _inverted(images: Tensor) -> Tensor:
    return 255 - images


def _rotated(images: Tensor) -> Tensor:
    return images.rot90(1, (2, 3)).contiguous()


TRANSFORMS: Mapping[str, Callable[[Tensor], Tensor]] = {"inverted": _inverted, "rotated": _rotated}
"""By name, of uint8 [N, C, H, W]; ``rotated`` turns by 90 degrees anticlockwise, so that H and W swap."""


class Derivation(NamedTuple):
    """Names of what a domain is derived from: a transform of the base, or the base over a background."""

    base: str
    transform: str = ""
    background: str = ""


def derivation(name: str) -> Derivation | None:
    """Return what a name such as ``mnist-inverted`` or ``mnist-over-cifar10`` says; None if it says nothing.

    A transform at the end is that of the whole: ``mnist-over-cifar10-inverted`` is ``mnist-over-cifar10`` in
    negative.
    """
    base, _, transform = name.rpartition("-")
    if base and transform in TRANSFORMS:
        return Derivation(base, transform)
    base, _, background = name.rpartition(_OVER)
    return Derivation(base, background=background) if base and background else None


def transformed(data: LabelledImages, transform: str) -> LabelledImages:
    """Return the images transformed, with their labels, in the same order.

    ``transform`` is one of ``TRANSFORMS``.
    """
    return replace(data, images=TRANSFORMS[transform](data.images))


def laid_over(data: LabelledImages, photographs: Tensor, *purpose: str) -> LabelledImages:
    """Return the images laid over random patches of photographs, with their labels, in the same order.

    A pixel is the absolute difference of both, so that black leaves the photograph as it is and white shows
    it in negative: the blend of MNIST-M (Ganin and Lempitsky 2015, arXiv 1409.7495).

    Args:
        data: images [N, C, H, W]; the result has as many channels as the one of both that has more.
        photographs: uint8 [M, C', H', W'], at least as high and as wide.
        purpose: names the random stream, and says first of what images over which they are; with the same
            purpose the patches are the same.

    Raises:
        DataError: if there are no photographs, or they are smaller than the images.
    """
    count, _, height, width = data.images.shape
    found, _, tall, wide = photographs.shape
    if not found or tall < height or wide < width:
        raise DataError(
            f"{' over '.join(purpose[:2])}: {found} photographs of {tall} x {wide} pixels, height first, for "
            f"images of {height} x {width}: give photographs that are at least as large"
        )
    stream = torch_stream(_SEED, "over", *purpose)
    chosen = torch.randint(found, (count, 1, 1), generator=stream)
    rows = torch.randint(tall - height + 1, (count, 1), generator=stream) + torch.arange(height)
    columns = torch.randint(wide - width + 1, (count, 1), generator=stream) + torch.arange(width)
    patches = photographs[chosen, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    blended = (patches.to(torch.int16) - data.images.to(torch.int16)).abs().to(torch.uint8)
    return replace(data, images=blended.contiguous())
