"""A3: how often a client has each label, from means, or from an embedding that moved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

_WEIGHT_OF_SUM = 1e3
"""Of the equation that shares add up to one, beside equations of about unit size."""


def mix_of_means(by_label: Tensor, mean: Tensor) -> Tensor:
    """Return the shares [C] with which the means ``by_label`` [C, F] come nearest to ``mean`` [F].

    They are not negative and add up to one: least squares on a simplex.
    """
    scale = by_label.double().square().mean().sqrt().clamp(min=1e-12)
    rows = (by_label.double() / scale).t().numpy()
    ones = np.full((1, rows.shape[1]), _WEIGHT_OF_SUM * np.sqrt(len(rows)))
    targets = np.append((mean.double() / scale).numpy(), ones[0, 0])
    found = torch.from_numpy(nnls(np.concatenate([rows, ones]), targets)[0])
    return found / found.sum()


def mix_of_movement(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Tensor:
    """Return the shares [C] of labels by how far the rows of a block's embedding moved in a round.

    A row moves in each batch that has its label, whatever their number, so that this is rough.
    """
    moved = (after["embedding.weight"] - before["embedding.weight"]).abs().double().mean(1)
    return moved / moved.sum()


def total_variation(first: Tensor, second: Tensor) -> float:
    """Return half the sum of differences between two mixes [C] of labels: from 0 to 1."""
    return (first - second).abs().sum().item() / 2
