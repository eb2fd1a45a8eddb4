"""What crosses in a step between a generator on the server and discriminators on clients.

Latent vectors, real images and their labels are not among it. The labels here are those that the server drew
for its fakes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from huscf_flwr.methods.crossing import Reveal
from huscf_flwr.session import Kind

FAKES = Kind("fakes", role="activation")
"""Images [B, channels, size, size] that the generator drew, from -1 to 1. Discriminators learn from them."""
FAKE_LABELS = Kind("labels of fakes", torch.int64)
"""[B]."""
JUDGED_FAKES = Kind("judged fakes", role="activation")
"""Others like ``FAKES``, at which the generator's loss is computed, where these are not the same."""
JUDGED_LABELS = Kind("labels of judged fakes", torch.int64)
"""[B]."""
GRADIENT = Kind("gradient at fakes", role="gradient")
"""Of the generator's loss, at the images at which it was computed; it has their shape."""

FAKES_SHOW = {FAKES.name: Reveal.AVERAGE, FAKE_LABELS.name: Reveal.NOTHING, "generator": Reveal.AVERAGE}
"""What clients learn from a generator that all of them train, and from what it draws, by kind."""

IMAGES = frozenset((FAKES, JUDGED_FAKES, GRADIENT))
"""Kinds whose samples have an image's shape; a sample of any other is one number."""


class Fakes(NamedTuple):
    """A batch that the generator drew."""

    images: Tensor
    """[B, channels, size, size], from -1 to 1."""
    labels: Tensor
    """[B], int64."""

    def detached(self) -> Fakes:
        """Return the same batch without the way back to the generator: as it is sent."""
        return Fakes(self.images.detach(), self.labels)

    def to(self, device: torch.device) -> Fakes:
        """Return the batch on ``device``."""
        return Fakes(self.images.to(device), self.labels.to(device))
