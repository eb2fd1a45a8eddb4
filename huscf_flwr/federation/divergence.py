"""How far a client's activations are from those of its peers, as a Kullback-Leibler divergence.

The *peers* of a client are the other clients in the same average: those of its cluster for the
heads and tails, all others for the bodies. A client without peers has divergence zero.

Two views of "the distribution of a client's activations" are here:

- ``GaussianDivergence`` (default) takes every channel's activations, over samples and positions, as
  a Gaussian;
- ``SpatialSoftmax`` is the authors': the softmax over positions of a channel's mean map.

A direction reads as "of ... from ...": ``client-from-peers`` is KL(client || peers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from huscf_flwr.federation.features import ActivationStatistics, stack_means

Direction = Literal["client-from-peers", "peers-from-client"]
Reduction = Literal["channel-mean", "channel-sum"]


class Divergence(Protocol):
    """Measures each client against its peers."""

    def __call__(self, statistics: Sequence[ActivationStatistics]) -> Tensor:
        """Return the divergence [K] of each client from the others in ``statistics``.

        Float64, zero or more, never NaN; [0] for a single client.
        """
        ...


@dataclass(frozen=True)
class GaussianDivergence:
    """KL between Gaussians, channel by channel: a client's against the pool of its peers'.

    Channel c of client k is N(m_kc, v_kc), with mean and variance over samples and positions. The
    peers' distribution is their equal mixture, as in the authors' rule, and is summarised by the
    Gaussian with the mixture's mean and variance (*moment matching*): the mean of the v_jc plus the
    variance of the m_jc. This is why:

    - it sees the channels' energy, the part that tells most about the images and that a softmax
      over positions divides out (quirk 5 of the authors' code, HuSCFGAN.py:200);
    - it measures a difference of means in units of the activations' own spread, so the values do
      not depend on the scale of a layer, nor, with ``channel-mean``, on the network's width;
    - KL(client || peers) is moderate where a client has a narrow part of what its peers have (some
      labels only), and large where it has what they do not.

    Attributes:
        direction: KL(client || peers), or the authors' KL(peers || client) (quirk 6,
            HuSCFGAN.py:214).
        reduction: over channels. The sum is the KL of the joint distribution if channels were
            independent; they are not, so the mean is the default and ``beta`` of the weighting sets
            the strength.
        floor: least variance of a channel, relative to the largest that a channel has over all
            clients: a dead channel has variance zero.
    """

    direction: Direction = "client-from-peers"
    reduction: Reduction = "channel-mean"
    floor: float = 1e-4

    def __call__(self, statistics: Sequence[ActivationStatistics]) -> Tensor:
        """Return the divergences [K]."""
        stack_means(statistics)
        moments = [one.channel_moments() for one in statistics]
        means = torch.stack([mean for mean, _ in moments])
        variances = torch.stack([variance for _, variance in moments])
        if len(means) == 1:
            return means.new_zeros(1)
        peer_means = _mean_of_others(means)
        second_moments = _mean_of_others(variances + means.square())
        peer_variances = (second_moments - peer_means.square()).clamp_min(0)
        pooled = variances.mean(0) + means.var(0, correction=0)
        least = (self.floor * pooled.max()).clamp_min(torch.finfo(torch.float64).tiny)
        client = means, variances.clamp_min(least)
        peers = peer_means, peer_variances.clamp_min(least)
        if self.direction == "peers-from-client":
            client, peers = peers, client
        return _reduce(_gaussian_kl(*client, *peers), self.reduction)


@dataclass(frozen=True)
class SpatialSoftmax:
    """KL between softmax maps over positions: the authors' rule (HuSCFGAN.py:187-217).

    P_kc is the softmax over all positions of channel c of client k's mean map; the peers'
    distribution is the mean of theirs. Defaults are the authors' choices, each of them named:

    Attributes:
        direction: their comment says KL(P || Global), their call computes KL(Global || P)
            (HuSCFGAN.py:214).
        reduction: their ``batchmean`` divides by the leading dimension, which holds channels
            (HuSCFGAN.py:214).
        smoothing: added to every probability before the logarithm (HuSCFGAN.py:203).
    """

    direction: Direction = "peers-from-client"
    reduction: Reduction = "channel-mean"
    smoothing: float = 1e-9

    def __call__(self, statistics: Sequence[ActivationStatistics]) -> Tensor:
        """Return the divergences [K].

        Raises:
            ValueError: the activations are flat, and have no positions to compare.
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


def _mean_of_others(values: Tensor) -> Tensor:
    """Return for each row of [K, ...] the mean of the other rows; K is at least two."""
    return (values.sum(0) - values) / (len(values) - 1)


def _gaussian_kl(mean: Tensor, variance: Tensor, other_mean: Tensor, other: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(other_mean, other)), elementwise."""
    ratio = variance / other
    return 0.5 * (ratio - 1 - ratio.log() + (mean - other_mean).square() / other)


def _reduce(divergences: Tensor, reduction: Reduction) -> Tensor:
    """Reduce [K, C] over channels; rounding may leave a value just below zero."""
    total = divergences.mean(1) if reduction == "channel-mean" else divergences.sum(1)
    return total.clamp_min(0)
