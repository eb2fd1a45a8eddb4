"""Derived domains: another domain's images, transformed, under its name and that of the transform.

``mnist-inverted`` are MNIST's images in negative, ``digits-rotated`` the digits turned by a quarter. They
have the base domain's labels, and so are domains that overlap with it: the same classes, other pixels. The
base may be derived itself. Training and test images are transformed alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from huscf_flwr.data.images import LabelledImages


def _inverted(images: Tensor) -> Tensor:
    return 255 - images


def _rotated(images: Tensor) -> Tensor:
    return images.rot90(1, (2, 3)).contiguous()


TRANSFORMS: Mapping[str, Callable[[Tensor], Tensor]] = {"inverted": _inverted, "rotated": _rotated}
"""By name, of uint8 [N, C, H, W]; ``rotated`` turns by 90 degrees anticlockwise, so that H and W swap."""


def derivation(name: str) -> tuple[str, str] | None:
    """Return base domain and transform of a name such as ``mnist-inverted``; None if it is no such name."""
    base, _, transform = name.rpartition("-")
    return (base, transform) if base and transform in TRANSFORMS else None


def transformed(data: LabelledImages, transform: str) -> LabelledImages:
    """Return the images transformed, with their labels, in the same order.

    ``transform`` is one of ``TRANSFORMS``.
    """
    return replace(data, images=TRANSFORMS[transform](data.images))
