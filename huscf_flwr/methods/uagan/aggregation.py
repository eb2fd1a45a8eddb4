"""All clients' discriminators as one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def aggregated_logits(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the logits [B] of the discriminator that stands for all clients'.

    Its odds are the weighted sum of theirs: o(x, y) = sum over i of w_i[y] D_i / (1 - D_i), and the
    discriminator is o / (1 + o) (arXiv 2102.04655). The logarithm of odds is a logit, so that this is
    logsumexp over i of logit_i + log w_i[y], in which nothing overflows and no small number is needed that
    keeps a denominator from zero.

    Args:
        logits: [N, B], of each client's discriminator.
        weights: [N, B], of each client for the label of each image; in every column one is above zero.
    """
    return torch.logsumexp(logits + weights.log(), 0)


def loss_gradient(logits: Tensor, counts: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Return the generator's loss and its gradient [N, B] at the logits.

    The loss is the mean cross entropy of the fakes against 1, by the aggregated discriminator. A fake whose
    label no client holds tells nothing, and is left out of the mean; without any other the loss is zero.

    Args:
        logits: [N, B], of each client's discriminator.
        counts: [N, C], int64: how many images of each class each of these clients has.
        labels: [B], int64, of the fakes.
    """
    of_labels = counts[:, labels].to(logits.dtype)
    held = of_labels.sum(0) > 0
    leaf = logits.detach().requires_grad_()
    if not bool(held.any()):
        return 0.0, torch.zeros_like(leaf)
    shares = of_labels[:, held] / of_labels[:, held].sum(0)
    together = aggregated_logits(leaf[:, held], shares)
    loss = functional.binary_cross_entropy_with_logits(together, torch.ones_like(together))
    (gradient,) = torch.autograd.grad(loss, leaf)
    return float(loss.detach()), gradient
