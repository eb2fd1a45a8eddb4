"""Statistics of a client's activations in the discriminator's body, for clustering and weighting.

The middle block of the discriminator runs on the server for every client. Its activations on a client's real
batches describe that client's images, and the server has them anyway. What is kept: the mean and the variance
over samples of each activation (one position of one channel), and the covariance of all activations in a few
random directions.

The caller decides which batches are observed. The authors use the last mini-batch of a round (train.py:99),
64 images, which is noisy. The corrected mode observes every real batch of the round's first epoch, when heads
have not drifted apart yet: with a common initialisation the body separates domains before it has learned
anything. The same accumulator does both: make a new one at the start of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

Scaling = Literal["none", "clients", "samples"]
"""How the clients' mean activations are scaled before they are clustered.

- ``none``: not scaled, as in the authors' code (HuSCFGAN.py:129-182).
- ``clients``: each activation to unit variance over the clients.
- ``samples``: *whitened* by the covariance within clients, in the random directions of the
  ``Sketch``. Images of one client differ (in label, in style) in the same directions as clients with
  skewed labels do. Dividing by that spread leaves the difference between domains. This is known as
  within-class covariance normalisation (Hatch, Kajarekar and Stolcke, 2006).
"""

SKETCH_DIRECTIONS = 128
_SKETCH_SEED = 0
_SHRINKAGE = 0.1


@dataclass(frozen=True, eq=False)
class Sketch:
    """Moments of one client's activations in D random directions, the same for all clients.

    Attributes:
        mean: float64 [D].
        covariance: float64 [D, D], over samples.
    """

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """Moments of one client's activations over samples.

    Attributes:
        mean: float64 [C, *spatial], or [F] if activations are flat.
        variance: float64, in the shape of ``mean``: the population variance, zero for one sample.
        samples: number of samples, at least one.
        sketch: only needed for features scaled by ``samples``.

    Raises:
        ValueError: the shapes differ, there is no sample, or a value is not finite.
    """

    mean: Tensor
    variance: Tensor
    samples: int
    sketch: Sketch | None = None

    def __post_init__(self) -> None:
        if self.mean.shape != self.variance.shape or self.mean.dim() == 0:
            raise ValueError(
                f"mean {list(self.mean.shape)} and variance {list(self.variance.shape)} of "
                "activations must have one shape [C, *spatial]"
            )
        if self.samples < 1:
            raise ValueError(f"activation statistics need a sample, found {self.samples}")
        if not (self.mean.isfinite().all() and self.variance.isfinite().all()):
            raise ValueError(
                "activation statistics are not finite: the discriminator has diverged; "
                "lower its learning rate"
            )


class ActivationAccumulator:
    """Gathers ``ActivationStatistics`` batch by batch, in constant memory.

    Batches are merged by the pairwise update of Chan, Golub and LeVeque (1979), in float64. Sums of squares
    would lose the variance if the mean is large.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._mean = torch.zeros((), dtype=torch.float64)
        self._squares = torch.zeros((), dtype=torch.float64)
        self._products = torch.zeros((), dtype=torch.float64)

    def observe(self, activations: Tensor) -> None:
        """Add a batch of activations [B, C, *spatial] or [B, F]; an empty batch adds nothing.

        Raises:
            ValueError: a sample has another shape than those of earlier batches.
        """
        batch = activations.detach().to(torch.float64)
        self._check_shape(batch)
        if len(batch) == 0:
            return
        mean = batch.mean(0)
        centred = batch - mean
        within = sketched(centred)
        samples = self.samples + len(batch)
        shift = mean - self._mean
        if self.samples == 0:
            between = 0.0
            self._mean = mean
        else:
            between = self.samples * len(batch) / samples
            self._mean = self._mean + shift * (len(batch) / samples)
        sketched_shift = sketched(shift[None])
        self._squares = self._squares + centred.square().sum(0) + between * shift.square()
        self._products = self._products + within.T @ within + between * sketched_shift.T @ sketched_shift
        self.samples = samples

    def statistics(self) -> ActivationStatistics:
        """Return the moments of everything observed so far, on the CPU.

        Raises:
            ValueError: nothing was observed, or an activation was not finite.
        """
        if self.samples == 0:
            raise ValueError("no activation was observed: call observe() on real batches first")
        return ActivationStatistics(
            mean=self._mean.cpu(),
            variance=(self._squares / self.samples).cpu(),
            samples=self.samples,
            sketch=Sketch(
                mean=sketched(self._mean[None])[0].cpu(),
                covariance=(self._products / self.samples).cpu(),
            ),
        )

    def _check_shape(self, batch: Tensor) -> None:
        if batch.dim() < 2:
            raise ValueError(f"activations must be [B, C, *spatial], found {list(batch.shape)}")
        if self.samples and batch.shape[1:] != self._mean.shape:
            raise ValueError(
                f"activations of one sample have shape {list(batch.shape[1:])}, "
                f"but earlier ones had {list(self._mean.shape)}"
            )


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """How features follow from mean activations: linearly, in steps of which each may be left out.

    Attributes:
        origin: float64 [R]: is subtracted.
        directions: float64 [R, F]: is multiplied with.
        spread: float64 [F]: is divided by.
    """

    origin: Tensor | None = None
    directions: Tensor | None = None
    spread: Tensor | None = None

    def features(self, means: Tensor) -> Tensor:
        """Return the features [K, F] of ``means`` [K, R], which are as ``comparable_means`` has them."""
        if self.origin is not None:
            means = means - self.origin
        if self.directions is not None:
            means = means @ self.directions
        return means if self.spread is None else means / self.spread


def clustering_features(statistics: Sequence[ActivationStatistics], scaling: Scaling = "none") -> Tensor:
    """Return the clients' features, float64 [K, F]: one row of mean activations per client.

    The authors call this global average pooling (HuSCFGAN.py:129-182), but they average over the batch and
    not over positions: with their networks F is 128 x 7 x 7 = 6,272.

    Args:
        statistics: of each client, all in one shape.
        scaling: see ``Scaling``; with ``samples``, F is the sketch's number of directions.

    Raises:
        ValueError: there is no client, the clients' activations differ in shape, the scaling is unknown, or
            a sketch is needed and missing.
    """
    means = comparable_means(statistics, scaling)
    return feature_space(statistics, scaling).features(means)


def comparable_means(statistics: Sequence[ActivationStatistics], scaling: Scaling) -> Tensor:
    """Return the clients' mean activations, float64 [K, R], of which features are made.

    They do not depend on who else is there, as features do: those of one round can be kept for another. With
    ``samples`` R is the sketch's number of directions. Raises ``ValueError`` as ``clustering_features``.
    """
    rows = stack_means(statistics).flatten(1)
    if scaling == "samples":
        return torch.stack([sketch.mean for sketch in _sketches(statistics)])
    return rows


def feature_space(statistics: Sequence[ActivationStatistics], scaling: Scaling) -> FeatureSpace:
    """Return how the features of these clients are scaled, for the means of others as well.

    Raises ``ValueError`` as ``clustering_features``.
    """
    if scaling == "none":
        return FeatureSpace()
    if scaling == "clients":
        rows = stack_means(statistics).flatten(1)
        spread = rows.std(0, correction=0)
        return FeatureSpace(origin=rows.mean(0), spread=spread.masked_fill(spread == 0, 1))
    if scaling == "samples":
        return _whitening(_sketches(statistics))
    raise ValueError(f"scaling is {scaling!r}: choose one of {', '.join(get_args(Scaling))}")


def stack_means(statistics: Sequence[ActivationStatistics]) -> Tensor:
    """Return the mean activations of all clients, [K, C, *spatial].

    Raises:
        ValueError: there is no client, or the clients' activations differ in shape.
    """
    if not statistics:
        raise ValueError("activation statistics of at least one client are needed, found none")
    shapes = {tuple(one.mean.shape) for one in statistics}
    if len(shapes) > 1:
        raise ValueError(f"clients' activations differ in shape: {sorted(shapes)}")
    return torch.stack([one.mean for one in statistics])


def _sketches(statistics: Sequence[ActivationStatistics]) -> list[Sketch]:
    sketches = [one.sketch for one in statistics if one.sketch is not None]
    if len(sketches) < len(statistics):
        raise ValueError(
            "features scaled by samples need a sketch of every client's activations: "
            "observe them with an ActivationAccumulator"
        )
    return sketches


def _whitening(sketches: Sequence[Sketch]) -> FeatureSpace:
    """Return the space in which sketched means are in units of the spread within clients.

    The covariance is the mean of the clients' covariances, so that a small client counts as much as a large
    one. It is shrunk towards a sphere, because with few samples its smallest variances are too small.
    """
    within = torch.stack([sketch.covariance for sketch in sketches]).mean(0)
    variances, directions = torch.linalg.eigh(within)
    average = variances.clamp_min(0).mean()
    variances = (1 - _SHRINKAGE) * variances.clamp_min(0) + _SHRINKAGE * average
    return FeatureSpace(directions=directions, spread=variances.sqrt() if average > 0 else None)


def sketched(activations: Tensor) -> Tensor:
    """Return activations [B, ...] in the sketch's directions, [B, D]: a linear map, the same for all."""
    flat = activations.flatten(1)
    return torch.mm(flat, _directions(flat.shape[1], flat.device))


@lru_cache(maxsize=8)
def _directions(size: int, device: torch.device) -> Tensor:
    """Return the directions [size, D]: random ones, or the axes themselves if there are few."""
    if size <= SKETCH_DIRECTIONS:
        return torch.eye(size, dtype=torch.float64, device=device)
    stream = torch.Generator().manual_seed(_SKETCH_SEED)
    drawn = torch.randn(size, SKETCH_DIRECTIONS, generator=stream, dtype=torch.float64)
    return drawn.div(size**0.5).to(device)
