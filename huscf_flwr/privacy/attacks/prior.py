"""What an attacker knows of images in general, without which noise looks like a better defence than it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.split.obfuscation import clipped

_RIDGE = 1e-3
"""Added to the variance of each pixel: some are black in all images that were seen."""


@dataclass(frozen=True)
class GaussianPrior:
    """A normal distribution of images, by mean and covariance of images that anybody can have."""

    mean: Tensor
    """[C, H, W]."""
    root: Tensor
    """[P, P], lower triangular: the covariance of the P pixels is this times its transpose."""

    @classmethod
    def of(cls, images: Tensor) -> GaussianPrior:
        """Return the distribution of ``images`` [N, C, H, W] from -1 to 1."""
        pixels = images.double().flatten(1)
        centred = pixels - pixels.mean(0)
        covariance = centred.t() @ centred / len(pixels) + _RIDGE * torch.eye(pixels.shape[1]).double()
        root = torch.linalg.cholesky(covariance).float()
        return cls(pixels.mean(0).float().view(images.shape[1:]), root)

    def images(self, coordinates: Tensor) -> Tensor:
        """Return the images [B, C, H, W] of ``coordinates`` [B, P]: likely ones, where these are small."""
        return self.mean + (coordinates @ self.root.t()).view(-1, *self.mean.shape)


@dataclass(frozen=True)
class Obscured:
    """Activations crossed clipped and with noise, and the attacker makes the best of it."""

    spreads: float
    """Standard deviation of the noise, in those of the activations, as the configuration says."""
    prior: GaussianPrior
    clip: float | None = None
    """Root mean square of an image's activations at most, if they were clipped."""

    def without_noise(self, activations: Tensor) -> Tensor:
        """Return what of ``activations`` [B, channels, h, w] would cross if there were no noise."""
        return activations if self.clip is None else clipped(activations, self.clip)

    def variance(self, outputs: Tensor) -> float:
        """Return the variance of the noise in what crossed."""
        share = self.spreads**2 / (1 + self.spreads**2)
        return share * outputs.var(correction=0).item()
