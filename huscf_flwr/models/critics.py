"""A critic of images: a small network that tells real images of a class from drawn ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from huscf_flwr.models.network import CPU, built_for
from huscf_flwr.models.spec import ImageSpec

_CHANNELS = 16, 32, 64
_GROUPS = 4
_LEAK = 0.2


class Critic(nn.Module):
    """Three convolutions that each halve the maps, and a verdict: one part for all classes, one of the class.

    GroupNorm, so that a batch may be a single image; the first convolution has none, as is usual.

    Args:
        image: channels and size of the images.
        classes: that there are verdicts of.
        mixed: all layers run in bfloat16.
    """

    def __init__(self, image: ImageSpec, classes: int, *, mixed: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(image))
        width = _CHANNELS[-1] * math.ceil(image.size / 2 ** len(_CHANNELS)) ** 2
        self.of_all = nn.Linear(width, 1)
        self.of_class = nn.Linear(width, classes, bias=False)
        self._mixed = mixed

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return verdicts [N], large for real ones, on images [N, C, H, W] in [-1, 1] of ``labels`` [N]."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._mixed):
            seen = self.layers(images).flatten(1)
            of_class = (seen * self.of_class.weight[labels]).sum(1)
            verdicts: Tensor = self.of_all(seen).squeeze(1) + of_class
        return verdicts.to(images.dtype)


def build_critic(
    image: ImageSpec,
    classes: int,
    stream: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> Critic:
    """Build a critic with weights of ``stream``, a generator on the CPU, as ``initialise`` draws them."""
    return built_for(partial(Critic, image, classes), stream, dtype=dtype, device=device)


def _layers(image: ImageSpec) -> Iterator[nn.Module]:
    before = image.channels
    for place, channels in enumerate(_CHANNELS):
        yield nn.Conv2d(before, channels, 3, stride=2, padding=1)
        if place:
            yield nn.GroupNorm(_GROUPS, channels)
        yield nn.LeakyReLU(_LEAK, inplace=True)
        before = channels
