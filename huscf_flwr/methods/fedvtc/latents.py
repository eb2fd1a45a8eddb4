"""What the features of all clients look like, and vectors that are drawn to look like them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GlobalStatistics:
    """Normal distributions of features, one for each class.

    Attributes:
        means: [C, p]; zero for a class of which nothing is known.
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

    def drawn(self, labels: Tensor, stream: torch.Generator, *, spread: float = 1.0) -> Tensor:
        """Draw a vector [N, p] for each of ``labels`` [N] from ``stream``, a generator on the CPU.

        It is ``spread`` times as far from the mean of its class as features are; for a class of which nothing
        is known, from the mean of the known means.
        """
        noise = torch.randn(len(labels), self.means.shape[1], generator=stream, dtype=self.means.dtype)
        labels = labels.to(self.means.device)
        middle = self.means[self.known].mean(0)
        means = torch.where(self.known[labels].unsqueeze(1), self.means[labels], middle)
        return means + spread * self.deviations_of(labels) * noise.to(means.device)

    def centred_on(self, features: Tensor, labels: Tensor, own_means: Tensor) -> Tensor:
        """Return ``features`` [N, p], their class means moved from ``own_means`` [C, p] to the global ones.

        Those of a class of which nothing is known stay where they are.
        """
        moved = torch.where(self.known.unsqueeze(1), self.means - own_means, torch.zeros_like(own_means))
        return features + moved[labels]

    def deviations_of(self, labels: Tensor) -> Tensor:
        """Return the standard deviations, [p] or [N, p], of the classes of ``labels`` [N]."""
        return self.deviations if self.deviations.ndim == 1 else self.deviations[labels]
