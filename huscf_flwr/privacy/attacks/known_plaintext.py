"""A2: images and labels of the real batch, once the discriminator's head has moved from what the server sent.

The server knows the fakes of the step: it has sent what their last blocks are made from. In the same exchange
it sees what the client's head makes of them, so it can work out the head as it is now, and invert it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks, Shape
from huscf_flwr.models.spec import ConvolutionSpec
from huscf_flwr.privacy.attacks.closed_form import (
    FirstConvolution,
    Reconstruction,
    before_activation,
    has_closed_form,
    label_planes,
)
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.prior import Obscured
from huscf_flwr.privacy.attacks.search import SEARCH_STEPS, search


def invert_by_fakes(
    head: Blocks,
    fakes: Tensor,
    labels: Tensor,
    fake_outputs: Tensor,
    real_outputs: Tensor,
    input_shape: Shape,
    *,
    steps: int = SEARCH_STEPS,
    real_labels: Tensor | None = None,
    obscured: Obscured | None = None,
) -> Reconstruction:
    """Return the real batch by ``real_outputs`` [B, channels, h, w] of a head that is only nearly ``head``.

    ``fakes`` [B, *input_shape] with ``labels`` [B] are, nearly, what it maps to ``fake_outputs``;
    ``real_labels`` [B] those of the real images, if they are known; ``obscured`` says how what became of
    these was clipped or noised, if it was. Heads of several blocks are searched for,
    and inverted by a search, in ``steps`` steps each.
    """
    first = head.at(0)
    if has_closed_form(head, real_outputs, input_shape):
        assert isinstance(first.spec, ConvolutionSpec)
        planes = label_planes(first.state_dict(), input_shape)
        kernel, bias = _regressed(first.spec, fakes, planes[labels], fake_outputs)
        if obscured is not None:
            moved = _with_kernel(head, kernel)
            return invert_head(moved, real_outputs, input_shape, real_labels, steps, obscured)
        convolution = FirstConvolution.of(kernel, planes, first.spec, input_shape)
        before = before_activation(real_outputs, first.spec)
        if first.spec.norm == "none":
            return convolution.invert(before - bias.view(1, -1, 1, 1))
        # The real half of the batch is normalised apart, so it is scaled and shifted in some other way.
        return convolution.invert_normalised(before)
    fitted = _fitted(head, fakes, labels, fake_outputs, steps)
    return invert_head(fitted, real_outputs, input_shape, real_labels, steps, obscured)


def _regressed(
    spec: ConvolutionSpec, fakes: Tensor, planes: Tensor, outputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the kernel [channels, image channels + 1, k, k] and bias that explain ``outputs`` best."""
    joined = torch.cat((fakes, planes.unsqueeze(1)), dim=1).double()
    patches = functional.unfold(joined, spec.kernel, stride=spec.stride, padding=spec.padding)
    rows = patches.transpose(1, 2).flatten(0, 1)
    rows = torch.cat((rows, torch.ones_like(rows[:, :1])), dim=1)
    targets = before_activation(outputs, spec).flatten(2).transpose(1, 2).flatten(0, 1)
    found = torch.linalg.lstsq(rows, targets).solution
    kernel = found[:-1].t().reshape(targets.shape[1], joined.shape[1], spec.kernel, spec.kernel)
    return kernel, found[-1]


def _with_kernel(head: Blocks, kernel: Tensor) -> Blocks:
    """Return ``head`` with another ``kernel`` of its first block, whose outputs are normalised afterwards."""
    head = copy.deepcopy(head)
    first = head.at(0)
    first.load_state_dict({**first.state_dict(), "main.weight": kernel.float()})
    return head


def _fitted(head: Blocks, fakes: Tensor, labels: Tensor, outputs: Tensor, steps: int) -> Blocks:
    """Return ``head`` with weights that map ``fakes`` to ``outputs`` better."""
    # The search lays all weights out in one row.
    head = copy.deepcopy(head).to(memory_format=torch.contiguous_format).requires_grad_(True)
    search(list(head.parameters()), lambda: head(fakes, labels), outputs, steps)
    return head
