"""Convolutions and transposed convolutions that run each of their three passes in the fastest form.

A convolution maps a *wide* map to a *narrow* one, a transposed convolution maps it back, and both have the
same kernel ``[narrow channels, wide channels, k, k]``. So there are only three operations:

=================  ====================  ====================
pass               convolution           transposed
=================  ====================  ====================
forward            ``narrow_from``       ``wide_from``
input's gradient   ``wide_from``         ``narrow_from``
kernel's gradient  ``kernel_gradient``   ``kernel_gradient``
=================  ====================  ====================

The form of an operation changes only the rounding; ``docs/performance.md`` says what each form gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_FEW_POSITIONS = 16
"""Matrix products are faster than convolution libraries for narrow maps of at most this many positions."""

_FEW_POSITIONS_FOR_TILES = 49
"""The same limit for kernel gradients in bfloat16, on processors with a matrix unit (AMX)."""

_MANY_CHANNELS = 128
"""A matrix product outweighs the many small additions after it from this many narrow channels on."""

_PATCHES_BYTES = 14_000_000
"""Size of the patches made at a time: memory of this size is reused, larger pieces come from the system."""


_PLAIN = ContextVar("plain convolutions", default=False)


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Let every convolution run as PyTorch's own does.

    Other forms have no rules in ``torch.func``, and cannot be differentiated twice.
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def channels_last(joined: Tensor) -> Tensor:
    """Return maps [B, C, H, W] that were joined from parts in the memory format of fast convolutions.

    A single channel fits any format, so it must be stated once channels are joined.
    """
    return joined if _PLAIN.get() else joined.contiguous(memory_format=torch.channels_last)


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` with square kernels, whose kernel gradient may be a matrix product."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, channels, H', W']."""
        if _PLAIN.get():
            return super().forward(inputs)
        return _run(self, inputs, transposed=False)


class TransposedConvolution(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with square kernels, run as the equivalent convolution if the stride is one."""

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: ARG002
        """Map [B, C, H, W] to [B, channels, H', W']."""
        if _PLAIN.get():
            return super().forward(inputs)
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

    With stride one it equals a convolution with the kernel mirrored and its channel axes swapped, which CPUs
    run about four times faster. With few positions and many channels it is one matrix product, whose parts
    are then added up where they overlap. Other devices use the same form for all sizes.
    """
    extent = kernel.shape[-1]
    margin = extent - 1 - padding
    on_cpu = narrow.device.type == "cpu"
    if on_cpu and stride == 1 and margin >= 0:
        return torch.conv2d(narrow, kernel.flip(2, 3).transpose(0, 1), bias, 1, margin)
    if on_cpu and _positions(narrow) <= _FEW_POSITIONS and len(kernel) >= _MANY_CHANNELS:
        return _sum_of_products(narrow, kernel, stride, padding, size, bias)
    least = _wide_size(narrow, extent, stride, padding)
    missing = [wanted - reached for wanted, reached in zip(size, least, strict=True)]
    return functional.conv_transpose2d(narrow, kernel, bias, stride, padding, missing)


def kernel_gradient(wide: Tensor, narrow: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """Return the gradient [N, W, k, k]: the correlation of each pair of channels at each offset.

    It can be computed as one product of the narrow map with the wide map's patches. Convolution libraries are
    faster for large maps. They are slower for few positions (for more, if patches overlap little and a matrix
    unit computes the product), and if a patch has far fewer values than the narrow map has channels.
    """
    extent = kernel.shape[-1]
    little_overlap = extent <= 2 * stride
    few = _FEW_POSITIONS_FOR_TILES if little_overlap and _has_tiles(narrow) else _FEW_POSITIONS
    small_patches = 4 * extent**2 * wide.shape[1] <= narrow.shape[1]
    if wide.device.type == "cpu" and (_positions(narrow) <= few or small_patches):
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
    channels, wide_channels = narrow.shape[1], wide.shape[1]
    patch_bytes = _positions(narrow) * extent**2 * wide_channels * wide.element_size()
    at_a_time = max(1, _PATCHES_BYTES // patch_bytes)
    products = [
        _product(
            narrow_part.permute(0, 2, 3, 1).reshape(-1, channels),
            _patches(wide_part, narrow.shape[2:], extent, stride, padding),
        )
        for wide_part, narrow_part in zip(
            torch.split(wide, at_a_time), torch.split(narrow, at_a_time), strict=True
        )
    ]
    product = products[0] if len(products) == 1 else torch.stack(products).sum(0)
    return product.view(channels, extent, extent, wide_channels).permute(0, 3, 1, 2)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left``^T ``right``; a result with few columns is computed faster in transposed form."""
    return left.t() @ right if right.shape[1] >= left.shape[1] else (right.t() @ left).t()


def _patches(wide: Tensor, size: Sequence[int], extent: int, stride: int, padding: int) -> Tensor:
    """Return the kernel's input at each position: [B * h * w, k * k * W], with h, w = ``size``."""
    height, width = size
    padded = functional.pad(wide, (padding,) * 4)
    patches = padded.unfold(2, extent, stride).unfold(3, extent, stride)[:, :, :height, :width]
    return patches.permute(0, 2, 3, 4, 5, 1).reshape(-1, extent * extent * wide.shape[1])


def _sum_of_products(
    narrow: Tensor, kernel: Tensor, stride: int, padding: int, size: Sequence[int], bias: Tensor | None
) -> Tensor:
    """Compute ``wide_from`` by adding up the contribution of each position at each offset.

    Offsets that differ by less than a stride never overlap, so all of them are added at once.
    """
    batch, channels, height, width = narrow.shape
    wide_channels, extent = kernel.shape[1], kernel.shape[-1]
    reach = -(-extent // stride)
    whole = functional.pad(kernel, (0, reach * stride - extent) * 2).permute(0, 2, 3, 1)
    products = narrow.permute(0, 2, 3, 1).reshape(-1, channels) @ whole.reshape(channels, -1)
    parts = products.view(batch, height, width, reach, stride, reach, stride, wide_channels)
    rows, columns = (
        max(side + reach - 1, -(-(wanted + padding) // stride))
        for side, wanted in zip((height, width), size, strict=True)
    )
    exact = torch.promote_types(narrow.dtype, torch.float32)
    total = narrow.new_zeros(batch, rows, stride, columns, stride, wide_channels, dtype=exact)
    for down in range(reach):
        for right in range(reach):
            there = total[:, down : down + height, :, right : right + width]
            there += parts[:, :, :, down, :, right].permute(0, 1, 3, 2, 4, 5)
    if bias is not None:
        total += bias
    wide = total.view(batch, rows * stride, columns * stride, wide_channels)
    within = wide[:, padding : padding + size[0], padding : padding + size[1]]
    return within.to(narrow.dtype).contiguous().permute(0, 3, 1, 2)


def _positions(map_: Tensor) -> int:
    return map_.shape[2:].numel()


def _has_tiles(map_: Tensor) -> bool:
    return map_.dtype == torch.bfloat16 and _matrix_unit()


@cache
def _matrix_unit() -> bool:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))


def _wide_size(narrow: Tensor, extent: int, stride: int, padding: int) -> list[int]:
    return [(side - 1) * stride - 2 * padding + extent for side in narrow.shape[2:]]


class _Convolve(torch.autograd.Function):
    """A convolution in either direction, with gradients computed by the three operations above."""

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
