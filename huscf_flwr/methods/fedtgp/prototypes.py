"""Prototypes that are trained: a small network that makes one for each class, and the loss that trains it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST_SQUARE = 1e-12
"""The square root has no gradient at zero: where a mean lies on a prototype it would give NaN."""


class PrototypeNetwork(nn.Module):
    """Makes a prototype [p] of each class from what it has learnt of it: embedding, linear, ReLU, linear.

    Args:
        classes: number of all classes.
        features: width p of embeddings, hidden layer and prototypes alike, as in the official code.
    """

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, features)
        self.hidden = nn.Linear(features, features)
        self.out = nn.Linear(features, features)

    def forward(self, classes: Tensor) -> Tensor:
        """Return the prototypes [K, p] of ``classes`` [K], int64."""
        prototypes: Tensor = self.out(functional.relu(self.hidden(self.embedding(classes))))
        return prototypes


def margin_of(means: Tensor, largest: float) -> float:
    """Return the margin for class ``means`` [K, p]: the largest distance of one to the nearest of the others.

    It is ``largest`` at most, and with fewer than two means, between which there are no distances. (arXiv
    2401.03230: the margin adapts to the largest of the classes' gaps. The official code takes these between
    the means over clients.)
    """
    if len(means) < 2:
        return largest
    distances = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist")
    return min(float(distances.fill_diagonal_(torch.inf).amin(dim=1).max()), largest)


def contrastive_loss(means: Tensor, places: Tensor, prototypes: Tensor, margin: float) -> Tensor:
    """Return the mean cross entropy of class means of clients against the prototypes, a scalar.

    The logits are minus the distances, not squared; ``margin`` is added to the distance to a mean's own
    prototype, so that it must be nearer than all others by that much.

    Args:
        means: [B, p], of clients.
        places: [B], int64: which prototype is that of its class.
        prototypes: [K, p].
        margin: not negative.
    """
    squares = (means.unsqueeze(1) - prototypes.unsqueeze(0)).square().sum(dim=2)
    distances = squares.clamp(min=_LEAST_SQUARE).sqrt()
    own = functional.one_hot(places, len(prototypes)).to(distances)
    return functional.cross_entropy(-(distances + margin * own), places)
