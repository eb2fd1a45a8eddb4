"""A3: labels, from the head of the generator (exchange 1), and from rows of embeddings that did not move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from huscf_flwr.models.blocks import Block
from huscf_flwr.models.spec import ProjectionSpec

_ROUNDS_OF_STATISTICS = 2
_EPSILON = 1e-5


def reads_labels(first: Block) -> bool:
    """Return whether ``labels_of_fakes`` can read such a block."""
    return isinstance(first.spec, ProjectionSpec) and first.spec.activation == "relu"


def labels_of_fakes(first: Block, outputs: Tensor) -> Tensor:
    """Return the labels [B] that a generator's ``first`` block was asked for, by its ``outputs`` [B, ...].

    The block projects latent vector and label, normalises over the batch, and keeps positive numbers. Nobody
    sends the batch's statistics, but latent vectors are standard normal, which says nearly what they are; so
    each sample is a problem of least squares with far more equations than unknowns, and what it gives says
    better what they are. Raises ``ValueError`` for another kind of block.
    """
    if not reads_labels(first):
        raise ValueError(f"labels are read from a projection with relu, not from {first.spec.kind}")
    assert isinstance(first.spec, ProjectionSpec)
    state = {name: tensor.double() for name, tensor in first.state_dict().items()}
    weight, embedding = state["main.weight"], state["embedding.weight"]
    latent = weight.shape[1] - first.spec.embedding
    of_latent, of_label = weight[:, :latent], weight[:, latent:] @ embedding.t()
    features = outputs.flatten(1).double()
    seen = features > 0
    if first.spec.norm == "none":
        return _solved(of_latent, of_label, features - state["main.bias"], seen)[1]

    normalised = (features - state["norm.bias"]) / state["norm.weight"]
    mean = of_label.mean(1)
    spread = (of_latent.square().sum(1) + of_label.var(1, correction=0)).sqrt()
    for _ in range(_ROUNDS_OF_STATISTICS):
        latents, labels = _solved(of_latent, of_label, normalised * spread + mean, seen)
        projected = latents @ of_latent.t() + of_label.t()[labels]
        mean, spread = projected.mean(0), (projected.var(0, correction=0) + _EPSILON).sqrt()
    return labels


def _solved(of_latent: Tensor, of_label: Tensor, projected: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return latent vectors and labels by least squares over those features [B, F] that were ``seen``."""
    both = torch.cat((of_latent, of_label), dim=1)
    found = []
    for sample, positive in zip(projected, seen, strict=True):
        rows = both[positive]
        ridge = _EPSILON * torch.eye(rows.shape[1], dtype=rows.dtype)
        found.append(torch.linalg.solve(rows.t() @ rows + ridge, rows.t() @ sample[positive]))
    together, latent = torch.stack(found), of_latent.shape[1]
    return together[:, :latent], together[:, latent:].argmax(1)


def labels_that_moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[int]:
    """Return the labels whose row of a block's embedding a client has trained in a round.

    ``before`` and ``after`` are states of the block. Rows that a client has no label for move too, by the
    momentum of earlier rounds, but less: a row counts that moved at least a tenth of what the widest did.
    """
    moved = (after["embedding.weight"] - before["embedding.weight"]).abs().mean(1)
    return {label for label, by in enumerate(moved.tolist()) if by > 0.1 * moved.max().item()}
