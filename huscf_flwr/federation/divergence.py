"""How far a client's activations are from those of its peers: a Kullback-Leibler divergence.

The *peers* of a client are the other clients in the same average: the others in its cluster for heads and
tails, all others for the bodies. A client without peers has divergence zero.

There are two models of the distribution of a client's activations:

- ``GaussianDivergence`` (default): each activation is a Gaussian over the samples.
- ``SpatialSoftmax``: the authors' softmax over the positions of a channel's mean map.

``label_divergences`` compares label histograms instead of activations.

The name of a direction reads "of ... from ...": ``client-from-peers`` is KL(client || peers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from huscf_flwr.federation.features import ActivationStatistics, stack_means

Direction = Literal["client-from-peers", "peers-from-client"]
Reduction = Literal["mean", "sum"]


class Divergence(Protocol):
    """Measures how far each client is from its peers."""

    def __call__(self, statistics: Sequence[ActivationStatistics]) -> Tensor:
        """Return the divergence of each client from the others in ``statistics``: float64 [K].

        Values are zero or more and never NaN; a single client has zero.
        """
        ...


@dataclass(frozen=True)
class GaussianDivergence:
    """KL between Gaussians, activation by activation: the client's against the mixture of its peers'.

    Activation a (one position of one channel) of client k is N(m_ka, v_ka) over its samples. The peers'
    distribution is their mixture with equal weights, as in the authors' rule, approximated by the Gaussian of
    the same mean and variance (*moment matching*): the mean of the v_ja plus the variance of the m_ja.

    Reasons for this choice:

    - A difference of means is measured in units of the activation's own spread. The values depend neither on
      the scale of a layer nor, if the mean over activations is taken, on its size.
    - It sees the energy of channels, which says most about the images, and which a softmax over positions
      divides out (quirk 5 of the authors' code, HuSCFGAN.py:200).
    - It separates label skew from noise: on MNIST, KMNIST and Fashion-MNIST clients have 0.02 to 0.12 with
      the exclusions of scenario 5, and 0.004 to 0.011 without. The authors' values, from one mini-batch, are
      0.007 to 0.025 with and 0.004 to 0.012 without.
    - Pooling the positions of a channel first would leave about a fortieth of the divergence, because
      positions differ far more than clients do.

    Attributes:
        direction: KL(client || peers) penalises a client for what its peers do not have; the
            authors' KL(peers || client) for lacking what they have (quirk 6, HuSCFGAN.py:214).
        reduction: over activations. The sum would be the KL of the joint distribution if activations
            were independent. Neighbouring ones are not, and the sum starves all clients but one.
        floor: added to all variances, relative to the variance of the average activation. An
            activation that is constant on a client, such as in a corner that is always black, must not
            dominate the result.
    """

    direction: Direction = "client-from-peers"
    reduction: Reduction = "mean"
    floor: float = 1e-2

    def __post_init__(self) -> None:
        if not 0 < self.floor < float("inf"):
            raise ValueError(f"floor is {self.floor}: give a positive number, such as 0.01")

    def __call__(self, statistics: Sequence[ActivationStatistics]) -> Tensor:
        """Return the divergences [K].

        Raises:
            ValueError: there is no client, or the clients' activations differ in shape.
        """
        means = stack_means(statistics).flatten(1)
        variances = torch.stack([one.variance for one in statistics]).flatten(1)
        if len(means) == 1:
            return means.new_zeros(1)
        peer_means = _mean_of_others(means)
        peer_squares = _mean_of_others(variances + means.square())
        peer_variances = (peer_squares - peer_means.square()).clamp_min(0)
        typical = (variances.mean(0) + means.var(0, correction=0)).mean()
        least = (self.floor * typical).clamp_min(torch.finfo(torch.float64).tiny)
        client = means, variances + least
        peers = peer_means, peer_variances + least
        if self.direction == "peers-from-client":
            client, peers = peers, client
        return _reduce(_gaussian_kl(*client, *peers), self.reduction)


@dataclass(frozen=True)
class SpatialSoftmax:
    """KL between softmax maps over positions: the authors' rule (HuSCFGAN.py:187-217).

    P_kc is the softmax of client k's mean map over all positions of channel c; the peers' distribution is
    the mean of theirs. The defaults are the authors' choices:

    Attributes:
        direction: their comment says KL(P || Global), but their call computes KL(Global || P)
            (HuSCFGAN.py:214).
        reduction: their ``batchmean`` divides by the first dimension, which is the channels
            (HuSCFGAN.py:214).
        smoothing: added to every probability before the logarithm (HuSCFGAN.py:187-217).
    """

    direction: Direction = "peers-from-client"
    reduction: Reduction = "mean"
    smoothing: float = 1e-9

    def __call__(self, statistics: Sequence[ActivationStatistics]) -> Tensor:
        """Return the divergences [K].

        Raises:
            ValueError: the activations are flat, so there are no positions to compare.
        """
        means = stack_means(statistics)
        if means.dim() < 3:
            raise ValueError(
                f"SpatialSoftmax needs activations [C, *spatial], found {list(means.shape[1:])}: "
                "use GaussianDivergence for flat activations"
            )
        if len(means) == 1:
            return means.new_zeros(1)
        maps = means.flatten(2).softmax(dim=2)
        client, peers = maps + self.smoothing, _mean_of_others(maps) + self.smoothing
        if self.direction == "peers-from-client":
            client, peers = peers, client
        return _reduce((client * (client / peers).log()).sum(2), self.reduction)


def label_divergences(counts: Tensor, *, smoothing: float = 0.01) -> Tensor:
    """Return KL(client || all) between label histograms of the clients in one average: float64 [K].

    The other histogram is that of all their images together, the client's own among them: so FeGAN's server
    compares a client with the whole (Guirguis et al., Middleware 2020, dist-lsgan.py), though there a client
    that diverges counts more. A client alone has divergence zero, and so has one with the mix of the whole.

    Both histograms are smoothed: the share ``smoothing`` of each is spread evenly over all C labels. So no
    label has probability zero, values stay below ln(C / smoothing), and how many images a client has makes no
    difference, as it would if each label were counted once more.

    Args:
        counts: [K, C], each client's images of each label; every client has at least one image.
        smoothing: above 0, below 1.

    Raises:
        ValueError: if ``counts`` is not such, or ``smoothing`` is out of range.
    """
    if counts.dim() != 2 or bool((counts < 0).any()) or not bool((counts.sum(1) > 0).all()):
        raise ValueError(
            f"label counts are {counts.tolist()}: give [K, C], none negative, and each client some"
        )
    if not 0 < smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}: give a number above 0 and below 1, such as 0.01")
    everybody = counts.double().sum(0, keepdim=True)
    client, whole = (
        (1 - smoothing) * each / each.sum(1, keepdim=True) + smoothing / counts.shape[1]
        for each in (counts.double(), everybody)
    )
    return (client * (client / whole).log()).sum(1).clamp_min(0)


def _mean_of_others(values: Tensor) -> Tensor:
    """Return the mean of the other rows for each row of [K, ...], with K at least two."""
    return (values.sum(0) - values) / (len(values) - 1)


def _gaussian_kl(mean: Tensor, variance: Tensor, other_mean: Tensor, other: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(other_mean, other)), elementwise."""
    ratio = variance / other
    return 0.5 * (ratio - 1 - ratio.log() + (mean - other_mean).square() / other)


def _reduce(divergences: Tensor, reduction: Reduction) -> Tensor:
    """Reduce [K, N] to [K], without the values just below zero that rounding can leave."""
    total = divergences.mean(1) if reduction == "mean" else divergences.sum(1)
    return total.clamp_min(0)
