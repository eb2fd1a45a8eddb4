"""How near reconstructed images come to the true ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.data import normalise

RANGE = 2.0
"""Of pixels: from -1 to 1."""
_MOST_DECIBEL = 200.0
_WINDOW = 7
_STABILISERS = ((0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2)
_WORST_DECILE = 0.9


@dataclass(frozen=True)
class Nearness:
    """Of a batch of reconstructed images; more is nearer."""

    psnr: float
    """Decibel, the median over the images."""
    psnr_worst_decile: float
    """What a tenth of the images exceeds: those that are given away most."""
    ssim: float
    """The median over the images, at most 1."""


def nearness(found: Tensor, truth: Tensor) -> Nearness:
    """Return how near ``found`` [N, C, H, W] is to ``truth``, both from -1 to 1."""
    decibel = peak_signal_to_noise(found, truth)
    return Nearness(
        decibel.median().item(),
        decibel.quantile(_WORST_DECILE).item(),
        structural_similarity(found, truth).median().item(),
    )


def guessed_by_mean(images: Tensor, truth: Tensor) -> float:
    """Return the decibel of the mean of a client's ``images``, uint8, in the place of each of ``truth``.

    It is what somebody would guess who knows no more.
    """
    mean = normalise(images, torch.float32).mean(0, keepdim=True)
    return nearness(mean.expand_as(truth), truth).psnr


def peak_signal_to_noise(found: Tensor, truth: Tensor) -> Tensor:
    """Return the ratio of the pixels' range to the error, [N] in decibel; at most 200."""
    error = (found.clamp(-1, 1).double() - truth.double()).square().flatten(1).mean(1)
    return (10 * torch.log10(RANGE**2 / error)).clamp(max=_MOST_DECIBEL)


def structural_similarity(found: Tensor, truth: Tensor) -> Tensor:
    """Return the SSIM of each image, [N], in windows of 7x7 pixels (Wang et al. 2004, equation 13)."""
    # It is made for brightness, which begins at zero.
    x, y = (images.clamp(-1, 1).double() + 1 for images in (found, truth))

    def local(image: Tensor) -> Tensor:
        return functional.avg_pool2d(image, _WINDOW, stride=1)

    mean_x, mean_y = local(x), local(y)
    variance = local(x * x) - mean_x.square() + local(y * y) - mean_y.square()
    covariance = local(x * y) - mean_x * mean_y
    first, second = _STABILISERS
    above = (2 * mean_x * mean_y + first) * (2 * covariance + second)
    below = (mean_x.square() + mean_y.square() + first) * (variance + second)
    return (above / below).flatten(1).mean(1)
