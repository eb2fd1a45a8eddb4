"""Gradients of each sample of a batch by itself, clipped: what differential privacy adds its noise to.

It is the clipping of DP-SGD (arXiv 1607.00133, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from huscf_flwr.models.convolution import plain_convolutions
from huscf_flwr.models.network import Blocks

Gradients = dict[str, Tensor]
"""By the name of the parameter."""

AT_ONCE = 64
"""Samples whose gradients are in memory together: each takes as much as the network's weights."""


def clipped_sum(
    blocks: Blocks,
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor], Tensor],
    clip: float,
    *,
    at_once: int = AT_ONCE,
) -> Gradients:
    """Return the sum over samples of the gradient of each one's loss, scaled down to a norm of ``clip``.

    Samples must not see each other, as they would in batch normalisation. Without a sample the sum is zero.
    A gradient whose norm is not finite counts as zero, whatever the weights are, which somebody else may have
    chosen: otherwise one image could make the sum something that is not finite, which noise does not hide.

    Args:
        blocks: a whole discriminator; its parameters that get no gradient are left out.
        images: [B, channels, size, size].
        labels: [B], int64.
        loss: of logits [1, 1], a scalar.
        clip: the largest norm, over all parameters together.
        at_once: samples whose gradients are in memory together.
    """
    trained = {name: each.detach() for name, each in blocks.named_parameters() if each.requires_grad}
    total = {name: torch.zeros_like(each) for name, each in trained.items()}

    def loss_of_one(parameters: Gradients, image: Tensor, label: Tensor) -> Tensor:
        return loss(functional_call(blocks, parameters, (image[None], label[None])))

    of_each = vmap(grad(loss_of_one), in_dims=(None, 0, 0))
    with plain_convolutions():
        for some, theirs in zip(torch.split(images, at_once), torch.split(labels, at_once), strict=True):
            if not len(some):
                continue
            for name, gradient in _clipped(of_each(trained, some, theirs), clip).items():
                total[name] += gradient.sum(0)
    return total


def _clipped(gradients: Gradients, clip: float) -> Gradients:
    """Return each sample's gradient [B, ...] scaled down to a norm of ``clip``, or zero if it has no norm.

    No factor would do instead: none makes zero of what is infinite.
    """
    norms = torch.stack([each.flatten(1).norm(dim=1) for each in gradients.values()]).norm(dim=0)
    scales = torch.clamp(clip / norms, max=1.0)

    def of_all(per_sample: Tensor, gradient: Tensor) -> Tensor:
        return per_sample.view(-1, *[1] * (gradient.dim() - 1))

    return {
        name: torch.where(of_all(norms.isfinite(), gradient), of_all(scales, gradient) * gradient, 0.0)
        for name, gradient in gradients.items()
    }
