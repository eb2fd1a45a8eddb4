"""How alike clients are, by images that are drawn from their generators.

Images are encoded by their first principal components. That is what a linear autoencoder of the same size
learns, without steps, rates or a seed to choose; the paper's encoder is not known to us. A client is the
Gaussian of its encoded images, and two clients are compared by the divergence between their Gaussians, which
does not depend on how the components are scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SIDE = 14
"""Images are averaged down to as many pixels per side, so that large ones have components that are few."""
_LEAST_SPREAD = 0.01
"""What is added to every variance, as a share of the mean variance of all images together: a generator that
always draws the same image must not be infinitely far from all others."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The Gaussians of K clients.

    Attributes:
        means: float64 [K, D].
        covariances: float64 [K, D, D], positive definite.
    """

    means: Tensor
    covariances: Tensor


def encoded(images: Tensor, components: int) -> Tensor:
    """Return the principal components of all images together: float64 [K, N, D].

    Args:
        images: N images of each of K clients, [K, N, channels, height, width].
        components: D, at most; there are no more than pixels of the images, averaged down.
    """
    clients, count = images.shape[:2]
    size = (min(images.shape[3], _SIDE), min(images.shape[4], _SIDE))
    small = functional.adaptive_avg_pool2d(images.flatten(0, 1).double(), size).flatten(1)
    centred = small - small.mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    found: Tensor = centred @ directions.flip(1)[:, :components]
    return found.view(clients, count, -1)


def gaussians_of(codes: Tensor) -> Gaussians:
    """Return the Gaussian of each client's ``codes`` [K, N, D], with N of at least two."""
    means = codes.mean(1)
    centred = codes - means[:, None]
    covariances = centred.mT @ centred / (codes.shape[1] - 1)
    least = _LEAST_SPREAD * codes.flatten(0, 1).var(0).mean().clamp_min(torch.finfo(codes.dtype).tiny)
    return Gaussians(means, covariances + least * torch.eye(codes.shape[2], dtype=codes.dtype))


def divergences(gaussians: Gaussians) -> Tensor:
    """Return KL(i || j) between all pairs of K Gaussians, in nats: [K, K], zero on the diagonal.

    KL(i || j) = (tr(C_j^-1 C_i) + (m_j - m_i)^T C_j^-1 (m_j - m_i) - D + ln det C_j - ln det C_i) / 2
    """
    means, covariances = gaussians.means, gaussians.covariances
    precisions = torch.linalg.inv(covariances)
    traces = torch.einsum("jab,iba->ij", precisions, covariances)
    apart = means[:, None] - means
    squares = torch.einsum("ija,jab,ijb->ij", apart, precisions, apart)
    volumes = torch.linalg.slogdet(covariances).logabsdet
    found = (traces + squares - means.shape[1] + volumes - volumes[:, None]) / 2
    nonnegative: Tensor = found.clamp_min(0).fill_diagonal_(0)
    return nonnegative


def weights_of(divergence: Tensor, temperature: float) -> Tensor:
    """Return the weight of client j's images for client i: [K, K], whose rows add up to one.

    Weights fall with the mean of ``divergence`` [K, K] in both directions: neither what i has and j lacks nor
    what j draws and i has not may be large.
    """
    return torch.softmax(-(divergence + divergence.T) / (2 * temperature), dim=1)
