"""Decoders of features: transposed convolutions from a vector of features to an image.

FedVTC (arXiv 2508.01669) calls its own a variational transposed convolution. The sources state neither its
layers nor its widths; those of ``conf/decoders`` are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from huscf_flwr.conf_files import Strict, find_conf, read_yaml, validate
from huscf_flwr.models.network import CPU, built_for
from huscf_flwr.models.spec import ImageSpec

_FIRST_SIZE = 4
"""Height and width of the first maps, in pixels."""


class DecoderSpec(Strict):
    """Layers of a decoder, whatever the features and the images.

    The first layer makes maps of 4x4 pixels, each further one maps of twice the size, the last one the image.
    Where an image needs more doublings than there are numbers of channels, the first number counts again for
    each that is missing; where it needs fewer, the first ones are left out.

    Attributes:
        name: of its file.
        channels: of the maps, before they are doubled for the last time.
        groups: of channels that GroupNorm normalises together; they divide all numbers of channels.
        leak: slope of the leaky ReLU for negative inputs.
    """

    name: str
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    groups: PositiveInt
    leak: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _groups_divide_channels(self) -> DecoderSpec:
        for place, channels in enumerate(self.channels):
            if channels % self.groups:
                raise ValueError(
                    f"'channels.{place}' is {channels}, which 'groups' = {self.groups} does not divide; "
                    "change one of them"
                )
        return self

    def channels_for(self, image: ImageSpec) -> tuple[int, ...]:
        """Return the channels of all maps for such images, from those of 4x4 pixels on."""
        doublings = max(1, math.ceil(math.log2(image.size / _FIRST_SIZE)))
        missing = max(0, doublings - len(self.channels))
        return ((self.channels[0],) * missing + self.channels)[-doublings:]


def load_decoder_spec(name_or_path: str) -> DecoderSpec:
    """Read a decoder from ``conf/decoders/<name>.yaml`` or from a path.

    Raises ``ConfError`` naming the file, the key, the value and what would be right.
    """
    path = find_conf("decoders", name_or_path)
    return validate(DecoderSpec, {"name": path.stem, **read_yaml(path, DecoderSpec)}, str(path))


class Decoder(nn.Module):
    """From features [N, p] to images [N, C, H, W] in [-1, 1].

    Images of a size that is no power of two are the middle of larger ones: for 28 pixels a side, of 32.

    Args:
        spec: its layers.
        features: width p of the vectors.
        image: channels and size of the images.
        mixed: all layers run in bfloat16, except the hyperbolic tangent at the end.
    """

    def __init__(self, spec: DecoderSpec, features: int, image: ImageSpec, *, mixed: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(spec, features, image))
        self._size = image.size
        self._mixed = mixed

    def forward(self, features: Tensor) -> Tensor:
        """Return the image of each of the ``features`` [N, p]."""
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._mixed):
            maps: Tensor = self.layers(features[:, :, None, None])
        images = torch.tanh(maps.to(features.dtype))
        first = (images.shape[-1] - self._size) // 2
        return images[:, :, first : first + self._size, first : first + self._size]


def build_decoder(
    spec: DecoderSpec,
    features: int,
    image: ImageSpec,
    stream: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> Decoder:
    """Build a decoder with weights of ``stream``, a generator on the CPU, as ``initialise`` draws them."""
    return built_for(partial(Decoder, spec, features, image), stream, dtype=dtype, device=device)


def _layers(spec: DecoderSpec, features: int, image: ImageSpec) -> Iterator[nn.Module]:
    channels = spec.channels_for(image)
    yield nn.ConvTranspose2d(features, channels[0], _FIRST_SIZE, bias=False)
    for before, after in pairwise(channels):
        yield from _normalised(before, spec)
        yield nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
    yield from _normalised(channels[-1], spec)
    yield nn.ConvTranspose2d(channels[-1], image.channels, 4, stride=2, padding=1)


def _normalised(channels: int, spec: DecoderSpec) -> Iterator[nn.Module]:
    yield nn.GroupNorm(spec.groups, channels)
    yield nn.LeakyReLU(spec.leak, inplace=True)
