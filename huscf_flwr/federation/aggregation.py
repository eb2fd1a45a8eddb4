"""Averaging the clients' models block by block.

Which blocks of the two networks a client keeps depends on its cut. The server runs the others in its bodies,
which all clients share. Each block is therefore averaged on its own:

    block = sum over clients k of w_k * copy_k

where copy_k is client k's own copy if it keeps the block, and the server's copy if it does not. The clients'
blocks are averaged within each cluster, with the cluster's weights. The bodies are averaged over all clients,
with the global weights. A block that no client keeps (at least the middle) has a single copy, the server's:
it stays as it is, and is not part of a cluster's result. Facts: HuSCFGAN.py:219-348.

A block is named by any hashable key; nothing here depends on what the keys mean.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

Key = TypeVar("Key", bound=Hashable)
State = Mapping[str, Tensor]
"""A block's parameters and buffers by name, as ``state_dict`` gives them."""

Buffers = Literal["total-variance", "average"]
"""How BatchNorm's running statistics are averaged.

- ``total-variance``: as the statistics of the mixture of the clients' distributions. The variance of a
  mixture is the mean of the variances plus the variance of the means. ``num_batches_tracked`` becomes
  the largest.
- ``average``: the authors' rule, which averages every entry of ``state_dict`` in the same way (quirk 10,
  HuSCFGAN.py:229-270 and 281-328). The variance of the means is missing, so a model averaged over
  dissimilar clients has normalised activations that spread too far. The integer ``num_batches_tracked``
  is averaged and truncated. (The authors' slice drops the server's last such entry, quirk 12,
  HuSCFGAN.py:347-348, and torch keeps the old one. PyTorch reads this counter only if ``momentum`` is
  None, so no weight and no activation differs.)
"""

_MEAN, _VARIANCE, _COUNT = "running_mean", "running_var", "num_batches_tracked"
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Aggregate(Generic[Key]):
    """The result of one aggregation.

    Attributes:
        clusters: by cluster, the average of every block that at least one client of any cluster keeps.
        body: the server's blocks. Those that no client keeps are the given tensors themselves.
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
    shared: Collection[Key] = (),
) -> Aggregate[Key]:
    """Average the clients' blocks within each cluster, and the server's over all clients.

    The inputs are not changed. Memory for one running sum per block is needed, never for copies of the
    clients' models. Sums are computed in float64, in the order of client ids; each result has the dtype and
    the device of the tensors that were averaged.

    Args:
        client_blocks: by client id, the blocks that the client keeps.
        body: the server's copy of every block that it runs for at least one client.
        clusters: each client's cluster.
        cluster_weights: each client's weight in its cluster; they sum to one in every cluster.
        global_weights: each client's weight among all clients; they sum to one.
        buffers: see ``Buffers``.
        shared: blocks that are the same in every cluster, whoever keeps them: averaged over all clients, with
            the global weights, as the server's are.

    Raises:
        ValueError: the mappings have different clients, weights do not sum to one, a block is kept neither
            by a client nor by the server, or copies of a block differ in names or shapes.
    """
    clients = sorted(client_blocks)
    _check_clients(clients, clusters, cluster_weights, global_weights)
    members: dict[int, list[int]] = {}
    for client in clients:
        members.setdefault(clusters[client], []).append(client)
    _check_sums({f"cluster {name}": ids for name, ids in members.items()}, cluster_weights)
    _check_sums({"the global average": clients}, global_weights)

    kept = list(dict.fromkeys(key for client in clients for key in client_blocks[client]))
    common = {
        key: _average(_copies(key, clients, client_blocks, body, global_weights), buffers)
        for key in kept
        if key in shared
    }
    return Aggregate(
        clusters={
            name: {
                key: common[key]
                if key in common
                else _average(_copies(key, members[name], client_blocks, body, cluster_weights), buffers)
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
    """Return the copies of a block with their weights; the server's stands for all clients without one."""
    copies = []
    server_weight = 0.0
    without = []
    for client in clients:
        if key in client_blocks[client]:
            copies.append((weights[client], client_blocks[client][key]))
        else:
            without.append(client)
            server_weight += weights[client]
    if without and key not in body:
        raise ValueError(f"block {key} is kept neither by clients {without} nor by the server")
    if without:
        copies.append((server_weight, body[key]))
    _check_same_shapes(key, [state for _, state in copies])
    return copies


def _average(copies: list[tuple[float, State]], buffers: Buffers) -> dict[str, Tensor]:
    """Return the weighted average of the copies of one block, entry by entry."""
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


def _check_same_shapes(key: object, states: list[State]) -> None:
    first = {name: tensor.shape for name, tensor in states[0].items()}
    for state in states[1:]:
        if {name: tensor.shape for name, tensor in state.items()} != first:
            raise ValueError(
                f"copies of block {key} differ: "
                f"{sorted((name, list(tensor.shape)) for name, tensor in state.items())} and "
                f"{sorted((name, list(shape)) for name, shape in first.items())}"
            )
