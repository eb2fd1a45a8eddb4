"""Averaging the clients' models block by block.

Every client keeps other blocks of the two networks (its cut), and the server keeps the rest in its
bodies, one copy for all. So an average is taken for each block on its own:

    block = sum over clients k of w_k * copy_k,

where copy_k is k's own copy where it keeps the block, and the server's where it does not,

with the weights of its cluster for the blocks that clients keep, and with the global weights over
all clients for the bodies. A block that no client keeps (the middle, at least) has one copy only:
it needs no average, stays in the body as it is, and is not part of a cluster's result. Facts:
HuSCFGAN.py:219-348.

A block is named by any hashable key; nothing here depends on what the keys mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

Key = TypeVar("Key", bound=Hashable)
State = Mapping[str, Tensor]
"""A block's parameters and buffers by name, as ``state_dict`` gives them."""

Buffers = Literal["total-variance", "average"]
"""What to do with BatchNorm's running statistics.

- ``total-variance``: the statistics of the mixture of the clients' distributions. The variance of a
  mixture is the mean of the variances plus the variance of the means. ``num_batches_tracked`` is
  the largest.
- ``average``: the authors' rule, every entry of ``state_dict`` averaged alike (quirk 10,
  HuSCFGAN.py:229-270 and 281-328). It leaves out the variance of the means, so the normalised
  activations of a model averaged over unlike clients spread too far. The whole number
  ``num_batches_tracked`` is averaged and then truncated. (The authors' slice drops the server's
  last such entry, quirk 12, HuSCFGAN.py:347-348; torch then keeps the old one. The entry is a
  counter that PyTorch does not use unless ``momentum`` is None, so no weight and no activation
  differs.)
"""

_MEAN, _VARIANCE, _COUNT = "running_mean", "running_var", "num_batches_tracked"
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Aggregate(Generic[Key]):
    """The result of one aggregation.

    Attributes:
        clusters: for each cluster, every block that at least one client (of any cluster) keeps.
        body: the server's blocks; those that no client keeps are the tensors that were given.
    """

    clusters: dict[int, dict[Key, dict[str, Tensor]]]
    body: dict[Key, dict[str, Tensor]]


def aggregate(
    client_blocks: Mapping[int, Mapping[Key, State]],
    body: Mapping[Key, State],
    clusters: Mapping[int, int],
    cluster_weights: Mapping[int, float],
    global_weights: Mapping[int, float],
    *,
    buffers: Buffers,
) -> Aggregate[Key]:
    """Average all blocks: those of the clients per cluster, those of the bodies over all clients.

    The inputs are not changed. Beyond them, one running sum per block is held, never copies of the
    clients' models. Sums are float64, in the order of client ids, and the result has each tensor's
    dtype, on its device.

    Args:
        client_blocks: by client id, the blocks it keeps.
        body: the server's copy of every block that it runs for at least one client.
        clusters: cluster of each client.
        cluster_weights: weight of each client in its cluster; one in sum over the cluster.
        global_weights: weight of each client among all; one in sum.
        buffers: see ``Buffers``.

    Raises:
        ValueError: the mappings are not about the same clients, weights do not sum to one, a client
            neither keeps a block nor finds it in ``body``, or copies of a block differ in names or
            shapes.
    """
    clients = sorted(client_blocks)
    _check_clients(clients, clusters, cluster_weights, global_weights)
    members: dict[int, list[int]] = {}
    for client in clients:
        members.setdefault(clusters[client], []).append(client)
    _check_sums({f"cluster {name}": ids for name, ids in members.items()}, cluster_weights)
    _check_sums({"the global average": clients}, global_weights)

    kept = list(dict.fromkeys(key for client in clients for key in client_blocks[client]))
    return Aggregate(
        clusters={
            name: {
                key: _average(_copies(key, members[name], client_blocks, body, cluster_weights), buffers)
                for key in kept
            }
            for name in sorted(members)
        },
        body={
            key: _average(_copies(key, clients, client_blocks, body, global_weights), buffers)
            if key in kept
            else dict(state)
            for key, state in body.items()
        },
    )


def _copies(
    key: Key,
    clients: Iterable[int],
    client_blocks: Mapping[int, Mapping[Key, State]],
    body: Mapping[Key, State],
    weights: Mapping[int, float],
) -> list[tuple[float, State]]:
    """Return each distinct copy of a block with its weight; the server's stands in for many clients."""
    copies = []
    servers_weight = 0.0
    lacking = []
    for client in clients:
        if key in client_blocks[client]:
            copies.append((weights[client], client_blocks[client][key]))
        else:
            lacking.append(client)
            servers_weight += weights[client]
    if lacking and key not in body:
        raise ValueError(f"block {key} is kept neither by clients {lacking} nor by the server")
    if lacking:
        copies.append((servers_weight, body[key]))
    _check_alike(key, [state for _, state in copies])
    return copies


def _average(copies: list[tuple[float, State]], buffers: Buffers) -> dict[str, Tensor]:
    """Return the weighted average of the copies of one block, name by name."""
    first = copies[0][1]
    averaged = {}
    for name, like in first.items():
        prefix, _, leaf = name.rpartition(".")
        if buffers == "total-variance" and leaf == _COUNT:
            result = torch.stack([state[name] for _, state in copies]).amax(0)
        elif buffers == "total-variance" and leaf == _VARIANCE:
            mean_name = f"{prefix}.{_MEAN}" if prefix else _MEAN
            result = _weighted_sum(copies, name) + _weighted_variance(copies, mean_name)
        else:
            result = _weighted_sum(copies, name)
        averaged[name] = result.to(like.dtype)
    return averaged


def _weighted_sum(copies: list[tuple[float, State]], name: str) -> Tensor:
    total = torch.zeros_like(copies[0][1][name], dtype=torch.float64)
    for weight, state in copies:
        total.add_(state[name].detach().to(total), alpha=weight)
    return total


def _weighted_variance(copies: list[tuple[float, State]], name: str) -> Tensor:
    centre = _weighted_sum(copies, name)
    total = torch.zeros_like(centre)
    for weight, state in copies:
        total.add_((state[name].detach().to(total) - centre).square(), alpha=weight)
    return total


def _check_clients(clients: list[int], *mappings: Mapping[int, object]) -> None:
    if not clients:
        raise ValueError("there is no client to aggregate")
    for mapping in mappings:
        if sorted(mapping) != clients:
            raise ValueError(
                f"blocks came from clients {clients}, but clusters or weights are for {sorted(mapping)}"
            )


def _check_sums(groups: Mapping[str, Iterable[int]], weights: Mapping[int, float]) -> None:
    for name, clients in groups.items():
        total = sum(weights[client] for client in clients)
        if not abs(total - 1) < _SUM_TOLERANCE:
            raise ValueError(f"the weights of {name} sum to {total}, not to one")


def _check_alike(key: object, states: list[State]) -> None:
    first = {name: tensor.shape for name, tensor in states[0].items()}
    for state in states[1:]:
        if {name: tensor.shape for name, tensor in state.items()} != first:
            raise ValueError(
                f"copies of block {key} differ: "
                f"{sorted((name, list(tensor.shape)) for name, tensor in state.items())} and "
                f"{sorted((name, list(shape)) for name, shape in first.items())}"
            )
