"""The vectors that decoders draw from: where features of all clients lie, and more that are drawn there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_IMAGES_OF_A_DIRECTION = 4
"""A direction that fewer images tell of is made of noise."""
_LEAST_DEVIATION = 1e-4
"""Features that spread less in a direction differ by rounding."""


@dataclass(frozen=True)
class GlobalStatistics:
    """Normal distributions of vectors around the mean features of each class.

    Attributes:
        means: [C, p], of features; zero for a class of which nothing is known.
        known: bool [C].
        deviations: standard deviations, [p] of all classes together, or [C, p] of each.
    """

    means: Tensor
    known: Tensor
    deviations: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Return what crosses: the known classes and what is known of them."""
        classes = self.known.nonzero().squeeze(1)
        deviations = self.deviations if self.deviations.ndim == 1 else self.deviations[classes]
        return {"classes": classes, "means": self.means[classes], "deviations": deviations}

    @classmethod
    def of_tensors(
        cls, tensors: Mapping[str, Tensor], classes: int, device: torch.device
    ) -> GlobalStatistics:
        """Return what ``tensors`` returned, on ``device``, for all of ``classes``."""
        named, means, deviations = (tensors[name].to(device) for name in ("classes", "means", "deviations"))
        known = torch.zeros(classes, dtype=torch.bool, device=device)
        known[named] = True

        def by_class(rows: Tensor) -> Tensor:
            return rows.new_zeros(classes, rows.shape[1]).index_copy(0, named, rows)

        return cls(by_class(means), known, deviations if deviations.ndim == 1 else by_class(deviations))

    def to(self, device: torch.device) -> GlobalStatistics:
        """Return the same on another device."""
        return GlobalStatistics(self.means.to(device), self.known.to(device), self.deviations.to(device))

    def drawn(self, labels: Tensor, stream: torch.Generator, *, spread: float = 1.0) -> Tensor:
        """Draw a vector [N, p] for each of ``labels`` [N] from ``stream``, a generator on the CPU.

        It is ``spread`` times as far from the mean of its class as clients' vectors are; for a class of which
        nothing is known, from the mean of the known means.
        """
        labels = labels.to(self.means.device)
        middle = self.means[self.known].mean(0)
        means = torch.where(self.known[labels].unsqueeze(1), self.means[labels], middle)
        return means + self.offsets(labels, stream, spread=spread)

    def offsets(self, labels: Tensor, stream: torch.Generator, *, spread: float = 1.0) -> Tensor:
        """Draw how far such a vector [N, p] is from the mean of its class."""
        noise = torch.randn(len(labels), self.means.shape[1], generator=stream, dtype=self.means.dtype)
        return spread * self.deviations_of(labels) * noise.to(self.means.device)

    def around_means(self, offsets: Tensor, labels: Tensor, own_means: Tensor) -> Tensor:
        """Return vectors [N, p] that are ``offsets`` [N, p] away from the global means of their classes.

        Of a class of which nothing is known, from the client's own mean in ``own_means`` [C, p].
        """
        return self.means_or(own_means)[labels] + offsets

    def means_or(self, own_means: Tensor) -> Tensor:
        """Return the global means [C, p]; where nothing is known, those of ``own_means`` [C, p]."""
        return torch.where(self.known.unsqueeze(1), self.means, own_means)

    def deviations_of(self, labels: Tensor) -> Tensor:
        """Return the standard deviations, [p] or [N, p], of the classes of ``labels`` [N]."""
        return self.deviations if self.deviations.ndim == 1 else self.deviations[labels]


def whitened(offsets: Tensor, labels: Tensor, *, directions: int, spread: float) -> Tensor:
    """Return ``offsets`` [N, p] of features from their class means, along the directions of most spread.

    Features spread widely in few directions that hang together, and a normal distribution without covariances
    draws vectors where none are. Here the images of each class are told by their principal components, all
    with the standard deviation ``spread``, the first component first; the rest of the p numbers is zero. So
    that directions are not made of noise, there are at most a quarter as many as images of the class.
    Features that are not finite stay as they are: the server refuses what comes of them.

    Args:
        offsets: of the features, with a mean of zero in each class.
        labels: [N].
        directions: most components of a class.
        spread: their standard deviation.
    """
    if not offsets.isfinite().all():
        return offsets
    found = torch.zeros_like(offsets)
    for label in labels.bincount().nonzero().flatten():
        rows = (labels == label).nonzero().squeeze(1)
        left, sizes, right = torch.linalg.svd(offsets[rows].double(), full_matrices=False)
        deviations = sizes / math.sqrt(len(rows))
        kept = min(directions, max(1, len(rows) // _IMAGES_OF_A_DIRECTION))
        kept = min(kept, int((deviations > _LEAST_DEVIATION).sum()))
        # Either sign would do, and libraries differ in which they return.
        largest = right[:kept].abs().argmax(1, keepdim=True)
        signs = right[:kept].gather(1, largest).sign().squeeze(1)
        components = spread * math.sqrt(len(rows)) * left[:, :kept] * signs
        found[rows, :kept] = components.to(offsets.dtype)
    return found
