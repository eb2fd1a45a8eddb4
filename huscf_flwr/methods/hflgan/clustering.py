"""Which clients learn alike: clusters by how a round has changed their discriminators."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from huscf_flwr.federation import Clustering, KMeans
from huscf_flwr.methods.contract import Tensors

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_LEAST_LENGTH = 1e-150
"""Of a change by which others are divided; its square is still a number."""


def change(before: Tensors, after: Tensors) -> dict[str, Tensor]:
    """Return by how much a round has changed the weights of a discriminator; running statistics are none."""
    return {
        name: after[name].double() - tensor.double()
        for name, tensor in before.items()
        if name.startswith("discriminator.") and name.rpartition(".")[2] not in _STATISTICS
    }


def cosines(changes: Mapping[int, Tensors]) -> Tensor:
    """Return the cosine of the angle between the flattened changes of each two of K clients: float64 [K, K].

    Only directions count, since a client with more batches goes further. Clients are in the order of their
    ids; all changes have the same names and shapes. A client that has not changed is at right angles to all.
    """
    clients = sorted(changes)
    products = torch.zeros(len(clients), len(clients), dtype=torch.float64)
    for name in sorted(changes[clients[0]]):  # sums are the same to the bit, wherever tensors come from
        rows = torch.stack([changes[client][name].flatten().double() for client in clients])
        products += rows @ rows.T
    lengths = products.diagonal().sqrt().clamp_min(_LEAST_LENGTH)
    return products / (lengths * lengths[:, None])


def clusters_of(alike: Tensor, clusters: int, *, seed: int) -> Clustering:
    """Partition K clients by k-means on the directions whose ``cosines`` are ``alike`` [K, K].

    K-means sees K points in K dimensions that are as far apart as the directions are, so that it need not
    hold these. There are fewer clusters if there are fewer clients.
    """
    values, vectors = torch.linalg.eigh(alike)
    return KMeans(clusters)(vectors * values.clamp_min(0).sqrt(), seed=seed)


def joined(alike: Tensor, clients: list[int], clusters: Mapping[int, int]) -> dict[int, int]:
    """Return the clusters of those of ``clients`` that are in none: that of the client most alike to each.

    Args:
        alike: ``cosines`` [K, K] of the clients.
        clients: their ids, in that order.
        clusters: by client id; at least one of ``clients`` is in one.
    """
    known = [place for place, client in enumerate(clients) if client in clusters]
    return {
        client: clusters[clients[known[int(alike[place, known].argmax())]]]
        for place, client in enumerate(clients)
        if client not in clusters
    }
