"""The mean embedding of a client's images, released once with noise: a critic that needs no more of them.

Random features map an image to a vector of norm one, so that inner products are those of a Gaussian kernel
(Rahimi and Recht 2007). Their sums over the images of each label, with noise, are all that is ever learnt of
the images; a generator is trained so that its own images have the same means, in the kernel's maximum mean
discrepancy. It is DP-MERF (arXiv 2002.11603), with an estimate of the discrepancy that is not biased by the
few fakes of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.accounting.secret_noise import KeyedStream
from huscf_flwr.seeding import torch_stream

SQUARED_BANDWIDTHS = (0.36, 0.09)
"""Of the kernels, per number of an image from -1 to 1; each has an equal part of the features."""

_COUNTED = 0.1
"""Share of an image's squared norm that goes into the count of its label, which has noise too."""

_SURE = 3.0
"""A label counts as present from so many standard deviations of its count's noise on."""


class RandomFeatures:
    """Random Fourier features of images, the same for all who have the seed."""

    def __init__(self, shape: tuple[int, ...], count: int, seed: int) -> None:
        """Draw ``count`` features, an even number, of images of ``shape``.

        Raises ``ValueError`` if they cannot be shared evenly among sines and cosines of all kernels.
        """
        parts = 2 * len(SQUARED_BANDWIDTHS)
        if count < parts or count % parts:
            raise ValueError(f"privacy.features is {count}: take a multiple of {parts}")
        numbers = math.prod(shape)
        drawn = torch.randn(numbers, count // 2, generator=torch_stream(seed, "random features"))
        squared = torch.tensor(SQUARED_BANDWIDTHS).repeat_interleave(count // parts)
        self.count = count
        self._directions = drawn / (numbers * squared).sqrt()

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features [B, count] of images [B, *shape]; each image's have norm one."""
        phases = images.flatten(1) @ self._directions.to(images)
        both: Tensor = torch.cat((phases.cos(), phases.sin()), dim=1)
        return both / math.sqrt(self.count / 2)


def noised_sums(
    features: Tensor, labels: Tensor, classes: int, noise_multiplier: float, stream: KeyedStream
) -> Tensor:
    """Return each label's sum of features and its count, with noise: [classes, features + 1].

    An image adds a vector of norm at most one, so the noise is as wide as its multiplier says.

    Args:
        features: of each image, norm one [B, features].
        labels: [B], int64.
        classes: number of labels.
        noise_multiplier: standard deviation of the noise.
        stream: where it comes from.
    """
    counted = features.new_full((len(features), 1), math.sqrt(_COUNTED))
    vectors: Tensor = torch.cat((math.sqrt(1 - _COUNTED) * features, counted), dim=1)
    vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1.0)  # rounding must not make it longer
    sums: Tensor = vectors.new_zeros(classes, vectors.shape[1]).index_add_(0, labels, vectors)
    return sums + stream.normal_like(sums, noise_multiplier)


@dataclass(frozen=True, eq=False)
class NoisedEmbedding:
    """What a client has released of its images, and how far fakes are from it."""

    features: RandomFeatures
    sums: Tensor
    """As ``noised_sums`` returned them: all that was ever made of the images."""
    means: Tensor
    """Of the features of each label's images [classes, features]; zero where a label is not seen."""
    shares: Tensor
    """Of the images of each label, times the number of labels [classes]: one where all are alike often."""

    @classmethod
    def of(cls, features: RandomFeatures, sums: Tensor, noise_multiplier: float) -> NoisedEmbedding:
        """Make the best of what ``noised_sums`` returned; nothing is known of images beside it."""
        counts = sums[:, -1] / math.sqrt(_COUNTED)
        seen = counts > _SURE * noise_multiplier / math.sqrt(_COUNTED)
        counts = torch.where(seen, counts, 0.0)
        means = sums[:, :-1] / (math.sqrt(1 - _COUNTED) * counts.clamp(min=1.0)[:, None])
        shares = counts / counts.mean().clamp(min=1e-9)
        return cls(features, sums, torch.where(seen[:, None], means, 0.0), shares)

    def criticise(self, fakes: Tensor, labels: Tensor) -> Tensor:
        """Send the gradient of the discrepancy back into ``fakes`` [B, *shape]; return it, a scalar."""
        loss = self.discrepancy(fakes, labels)
        torch.autograd.backward(loss)
        return loss.detach()

    def discrepancy(self, fakes: Tensor, labels: Tensor) -> Tensor:
        """Return the squared discrepancy of ``fakes`` [B, *shape] of ``labels`` [B], less a constant.

        A mean over labels, weighted by how often each is among the images and among the fakes. Of a label
        with a single fake nothing is known.
        """
        chosen = functional.one_hot(labels, len(self.means)).to(fakes.dtype)
        counts, sums = chosen.sum(0), chosen.T @ self.features(fakes)
        pairs = (sums.square().sum(1) - counts) / (counts * (counts - 1)).clamp(min=1.0)
        near = (sums * self.means.to(sums)).sum(1) / counts.clamp(min=1.0)
        weights = torch.where(counts > 1, counts * self.shares.to(sums), 0.0) / len(labels)
        return (weights * (pairs - 2 * near)).sum()
