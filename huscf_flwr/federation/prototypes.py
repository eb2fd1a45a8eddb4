"""Prototypes: means of the features of each class, over all clients.

Clients whose networks differ can still say where each class lies in a feature space of the same width.
FedProto (arXiv 2105.00243) and methods after it average these class means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

PrototypeWeighting = Literal["counts", "clients"]
"""How the means of several clients for one class are averaged.

- ``counts``: by the number of images that each is a mean of. With the same extractor on all clients this is
  the mean over all their images.
- ``clients``: all alike, as FedProto's official code and HtFLlib do.
"""


def averaged_prototypes(
    means: Mapping[int, Tensor],
    classes: Mapping[int, Sequence[int]],
    counts: Mapping[int, Sequence[int]],
    *,
    total_classes: int,
    weighting: PrototypeWeighting,
) -> tuple[Tensor, Tensor]:
    """Return the mean of each class over the clients that hold it, and which classes anybody holds.

    Sums are computed in float64, in the order of client ids.

    Args:
        means: by client id, means [C_k, p] of the features of the classes that the client holds.
        classes: which classes these are, in the same order, each once.
        counts: of how many images each is a mean, one or more.
        total_classes: number C of all classes.
        weighting: see ``PrototypeWeighting``.

    Returns:
        Means [C, p] with the dtype and on the device of those given, zero where nobody holds the class; and
        bool [C], true where somebody does.

    Raises:
        ValueError: there is no client, the mappings have different clients, or what a client gives does not
            fit together.
    """
    clients = sorted(means)
    _check(clients, means, classes, counts, total_classes)
    first = means[clients[0]]
    total = torch.zeros(total_classes, first.shape[1], dtype=torch.float64, device=first.device)
    weights = torch.zeros(total_classes, 1, dtype=torch.float64, device=first.device)
    for client in clients:
        held = torch.tensor(classes[client], dtype=torch.int64, device=first.device)
        weight = torch.ones(len(held), 1, dtype=torch.float64, device=first.device)
        if weighting == "counts":
            weight = torch.tensor(counts[client], dtype=torch.float64, device=first.device).unsqueeze(1)
        # A client names a class once, so no two rows of it meet in the same place.
        total[held] += weight * means[client].detach().to(total)
        weights[held] += weight
    known = weights.squeeze(1) > 0
    # Where nobody holds a class, zero is divided by one.
    return (total / weights.where(known.unsqueeze(1), torch.ones_like(weights))).to(first.dtype), known


def _check(
    clients: Sequence[int],
    means: Mapping[int, Tensor],
    classes: Mapping[int, Sequence[int]],
    counts: Mapping[int, Sequence[int]],
    total_classes: int,
) -> None:
    if not clients:
        raise ValueError("there is no client whose class means could be averaged")
    for mapping in (classes, counts):
        if sorted(mapping) != clients:
            raise ValueError(f"means came from clients {clients}, but classes or counts of {sorted(mapping)}")
    width = means[clients[0]].shape[-1]
    for client in clients:
        held, shape = list(classes[client]), tuple(means[client].shape)
        if len(set(held)) < len(held) or not set(held) <= set(range(total_classes)):
            raise ValueError(f"client {client} holds {held}: each class once, from 0 to {total_classes - 1}")
        if shape != (len(held), width):
            raise ValueError(f"client {client} has means {shape} for {len(held)} classes of {width} features")
        if len(counts[client]) != len(held) or min(counts[client], default=1) < 1:
            raise ValueError(f"client {client} has counts {list(counts[client])} for the classes {held}")
