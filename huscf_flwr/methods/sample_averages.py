"""Averages over clients, each weighted by how many images it has: federated averaging."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from torch import Tensor

from huscf_flwr.federation import Buffers, aggregate

Key = TypeVar("Key", bound=Hashable)


def sample_weights(samples: Mapping[int, int]) -> dict[int, float]:
    """Return each client's share n_k / N of all ``samples``."""
    total = sum(samples.values())
    return {client: count / total for client, count in samples.items()}


def averaged_by_samples(
    blocks: Mapping[int, Mapping[Key, Mapping[str, Tensor]]],
    samples: Mapping[int, int],
    *,
    buffers: Buffers = "average",
) -> dict[Key, dict[str, Tensor]]:
    """Return the average of what all clients have, by the same keys.

    Args:
        blocks: by client id, tensors by key and name, the same for all clients.
        samples: images of each of these clients.
        buffers: what becomes of BatchNorm's running statistics.

    Raises:
        ValueError: if they are of different clients, or blocks differ in names or shapes.
    """
    weights = sample_weights(samples)
    together = dict.fromkeys(samples, 0)
    (averaged,) = aggregate(blocks, {}, together, weights, weights, buffers=buffers).clusters.values()
    return averaged


def averaged_tensors(
    tensors: Mapping[int, Mapping[str, Tensor]], samples: Mapping[int, int]
) -> dict[str, Tensor]:
    """Return the average of what all clients have, by name, as ``averaged_by_samples`` does for blocks."""
    return averaged_by_samples({client: {"": own} for client, own in tensors.items()}, samples)[""]
