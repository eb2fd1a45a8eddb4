"""One mini-batch of a client."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.session import Frame


@dataclass(frozen=True)
class Batch:
    """One mini-batch of a client: what never leaves it."""

    images: Tensor
    """[B, channels, size, size], from -1 to 1."""
    labels: Tensor
    """[B], int64."""
    latents: Tensor
    """[B, latent], standard normal."""
    drawn_labels: Tensor | None = None
    """[B], int64, of the fakes; None if these have the labels of the images."""

    @property
    def fake_labels(self) -> Tensor:
        """[B], int64: the labels that fakes are generated with, and that the discriminator sees with them."""
        return self.labels if self.drawn_labels is None else self.drawn_labels

    @property
    def tensors(self) -> Frame:
        """What ``Batch(*tensors)`` is made of."""
        drawn = () if self.drawn_labels is None else (self.drawn_labels,)
        return self.images, self.labels, self.latents, *drawn

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        return Batch(*(tensor.to(device) for tensor in self.tensors))
