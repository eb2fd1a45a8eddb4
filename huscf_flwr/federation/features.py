"""What the discriminator's body saw of a client: the statistics that clustering and weighting use.

The middle block of the discriminator runs on the server for every client, so its activations on a
client's real batches are a description of that client's images which the server has anyway. Only
two moments of them are kept, at each position of each channel: the mean and the variance over
samples.

Which batches are observed is up to the caller. The authors look at the last mini-batch of a round
(train.py:99), 64 images, which is noisy; the corrected mode observes every real batch of the
round's last epoch. The same accumulator serves both: make a new one where the window begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """Moments of one client's activations over samples.

    Attributes:
        mean: float64 [C, *spatial], or [F] where activations are flat.
        variance: float64, of the shape of ``mean``; the population variance, zero for one sample.
        samples: number of samples behind both, at least one.

    Raises:
        ValueError: the shapes differ, there is no sample, or a value is not finite.
    """

    mean: Tensor
    variance: Tensor
    samples: int

    def __post_init__(self) -> None:
        if self.mean.shape != self.variance.shape or self.mean.dim() == 0:
            raise ValueError(
                f"mean {list(self.mean.shape)} and variance {list(self.variance.shape)} of activations "
                "must have one shape [C, *spatial]"
            )
        if self.samples < 1:
            raise ValueError(f"activation statistics need a sample, found {self.samples}")
        if not (self.mean.isfinite().all() and self.variance.isfinite().all()):
            raise ValueError(
                "activation statistics are not finite: the discriminator has diverged; "
                "lower its learning rate"
            )

    def channel_moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance [C] of each channel, over samples and positions together."""
        means = self.mean.reshape(len(self.mean), -1)
        variances = self.variance.reshape(len(self.variance), -1)
        return means.mean(1), variances.mean(1) + means.var(1, correction=0)


class ActivationAccumulator:
    """Gathers ``ActivationStatistics`` batch by batch, in memory that does not grow with batches.

    Batches are merged by the pairwise update of Chan, Golub and LeVeque (1979), in float64: sums of
    squares would lose the variance where the mean is large.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._mean = torch.zeros((), dtype=torch.float64)
        self._deviations = torch.zeros((), dtype=torch.float64)

    def observe(self, activations: Tensor) -> None:
        """Add a batch of activations [B, C, *spatial] or [B, F]; an empty batch adds nothing.

        Raises:
            ValueError: the shape of one sample differs from that of the batches before.
        """
        batch = activations.detach().to(torch.float64)
        self._check_shape(batch)
        if len(batch) == 0:
            return
        mean = batch.mean(0)
        deviations = (batch - mean).square().sum(0)
        if self.samples == 0:
            self.samples, self._mean, self._deviations = len(batch), mean, deviations
            return
        samples = self.samples + len(batch)
        shift = mean - self._mean
        self._deviations = (
            self._deviations + deviations + shift.square() * (self.samples * len(batch) / samples)
        )
        self._mean = self._mean + shift * (len(batch) / samples)
        self.samples = samples

    def statistics(self) -> ActivationStatistics:
        """Return the moments of all that was observed, on the CPU.

        Raises:
            ValueError: nothing was observed, or an activation was not finite.
        """
        if self.samples == 0:
            raise ValueError("no activation was observed: call observe() on real batches first")
        return ActivationStatistics(
            mean=self._mean.cpu(),
            variance=(self._deviations / self.samples).cpu(),
            samples=self.samples,
        )

    def _check_shape(self, batch: Tensor) -> None:
        if batch.dim() < 2:
            raise ValueError(f"activations must be [B, C, *spatial], found {list(batch.shape)}")
        if self.samples and batch.shape[1:] != self._mean.shape:
            raise ValueError(
                f"activations of one sample have shape {list(batch.shape[1:])}, "
                f"before they had {list(self._mean.shape)}"
            )


def clustering_features(
    statistics: Sequence[ActivationStatistics], *, standardise: bool = False
) -> Tensor:
    """Return one row of features per client, float64 [K, F]: its mean activations, flattened.

    The authors call this global average pooling (HuSCFGAN.py:140), but average over the batch and
    not over
    positions: with their networks F is 128 x 7 x 7 = 6,272.

    Args:
        statistics: of each client, all of one shape.
        standardise: scale every feature to unit variance over the clients (not done by the
            authors). A feature that is equal for all clients becomes zero.

    Raises:
        ValueError: no client, or clients whose activations differ in shape.
    """
    rows = stack_means(statistics).flatten(1)
    if not standardise:
        return rows
    centred = rows - rows.mean(0)
    spread = rows.std(0, correction=0)
    return torch.where(spread > 0, centred / spread.where(spread > 0, torch.ones(())), 0.0)


def stack_means(statistics: Sequence[ActivationStatistics]) -> Tensor:
    """Return the mean activations of all clients, [K, C, *spatial].

    Raises:
        ValueError: no client, or clients whose activations differ in shape.
    """
    if not statistics:
        raise ValueError("activation statistics of at least one client are needed, found none")
    shapes = {tuple(one.mean.shape) for one in statistics}
    if len(shapes) > 1:
        raise ValueError(f"clients' activations differ in shape: {sorted(shapes)}")
    return torch.stack([one.mean for one in statistics])
