"""Convolutions and transposed convolutions, each of their three passes in the form that runs fastest.

A convolution takes a *wide* map to a *narrow* one, a transposed convolution takes it back, and the kernel
``[narrow channels, wide channels, k, k]`` is the same for both. So there are three operations only:

=================  ====================  ====================
pass               convolution           transposed
=================  ====================  ====================
forward            ``narrow_from``       ``wide_from``
input's gradient   ``wide_from``         ``narrow_from``
kernel's gradient  ``kernel_gradient``   ``kernel_gradient``
=================  ====================  ====================

The form of an operation changes nothing but the rounding; ``docs/performance.md`` has what each brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_FEW_POSITIONS = 16
"""Positions of a narrow map up to which its kernel's gradient is faster as a product of matrices."""


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` with square kernels, whose kernel's gradient may be a product of matrices."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, channels, H', W']."""
        return _run(self, inputs, transposed=False)


class TransposedConvolution(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with square kernels, run as the equal convolution where the stride is one."""

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: ARG002
        """Map [B, C, H, W] to [B, channels, H', W']."""
        return _run(self, inputs, transposed=True)


def narrow_from(
    wide: Tensor, kernel: Tensor, stride: int, padding: int, bias: Tensor | None = None
) -> Tensor:
    """Return the convolution of ``wide`` [B, W, H, H'] with ``kernel`` [N, W, k, k]."""
    return torch.conv2d(wide, kernel, bias, stride, padding)


def wide_from(
    narrow: Tensor,
    kernel: Tensor,
    stride: int,
    padding: int,
    size: Sequence[int],
    bias: Tensor | None = None,
) -> Tensor:
    """Return the transposed convolution of ``narrow`` [B, N, h, w]: [B, W, *size].

    With stride one it is the convolution with the kernel mirrored and its channel axes swapped, and CPUs
    run that about four times faster.
    """
    extent = kernel.shape[-1]
    margin = extent - 1 - padding
    if stride == 1 and margin >= 0:
        return torch.conv2d(narrow, kernel.flip(2, 3).transpose(0, 1), bias, 1, margin)
    least = _wide_size(narrow, extent, stride, padding)
    missing = [wanted - reached for wanted, reached in zip(size, least, strict=True)]
    return functional.conv_transpose2d(narrow, kernel, bias, stride, padding, missing)


def kernel_gradient(wide: Tensor, narrow: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """Return the gradient [N, W, k, k]: how each pair of channels goes together at each offset.

    It is one product of the narrow map with the wide map's patches. Libraries for convolutions are faster
    than that where the maps are large, and slower where there are few positions, or where the patches have
    far fewer values than the narrow map has channels.
    """
    extent = kernel.shape[-1]
    few_positions = narrow.shape[2:].numel() <= _FEW_POSITIONS
    small_patches = 4 * extent**2 * wide.shape[1] <= narrow.shape[1]
    if wide.device.type == "cpu" and (few_positions or small_patches):
        return _product_with_patches(wide, narrow, extent, stride, padding)
    _, gradient, _ = torch.ops.aten.convolution_backward(
        narrow,
        wide,
        kernel,
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,  # not transposed
        [0, 0],
        1,
        [False, True, False],
    )
    return gradient  # type: ignore[no-any-return]


def _product_with_patches(wide: Tensor, narrow: Tensor, extent: int, stride: int, padding: int) -> Tensor:
    channels, height, width = narrow.shape[1:]
    padded = functional.pad(wide, (padding,) * 4)
    patches = padded.unfold(2, extent, stride).unfold(3, extent, stride)[:, :, :height, :width]
    columns = patches.permute(0, 2, 3, 4, 5, 1).reshape(-1, extent * extent * wide.shape[1])
    product = narrow.permute(0, 2, 3, 1).reshape(-1, channels).t() @ columns
    return product.view(channels, extent, extent, wide.shape[1]).permute(0, 3, 1, 2)


def _wide_size(narrow: Tensor, extent: int, stride: int, padding: int) -> list[int]:
    return [(side - 1) * stride - 2 * padding + extent for side in narrow.shape[2:]]


class _Convolve(torch.autograd.Function):
    """Either direction, with its gradients by the three operations above."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        kernel: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(inputs, kernel)
        ctx.geometry = stride, padding, transposed
        if not transposed:
            return narrow_from(inputs, kernel, stride, padding, bias)
        size = _wide_size(inputs, kernel.shape[-1], stride, padding)
        return wide_from(inputs, kernel, stride, padding, size, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, kernel = ctx.saved_tensors
        stride, padding, transposed = ctx.geometry
        of_inputs = of_kernel = of_bias = None
        if ctx.needs_input_grad[0]:
            of_inputs = (
                narrow_from(gradient, kernel, stride, padding)
                if transposed
                else wide_from(gradient, kernel, stride, padding, inputs.shape[2:])
            )
        if ctx.needs_input_grad[1]:
            wide, narrow = (gradient, inputs) if transposed else (inputs, gradient)
            of_kernel = kernel_gradient(wide, narrow, kernel, stride, padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_inputs, of_kernel, of_bias, None, None, None


def _run(layer: Convolution | TransposedConvolution, inputs: Tensor, transposed: bool) -> Tensor:
    device = inputs.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs.dtype
    bias = None if layer.bias is None else layer.bias.to(dtype)
    outputs: Tensor = _Convolve.apply(
        inputs.to(dtype),
        layer.weight.to(dtype),
        bias,
        layer.stride[0],
        int(layer.padding[0]),
        transposed,
    )
    return outputs
