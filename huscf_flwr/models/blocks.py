"""Blocks as PyTorch modules: a main layer, its normalisation, its activation.

All of them take ``(inputs, labels)``; only a conditional block uses the labels. Weights are drawn as in
PyTorch's own layers, but from a named stream (see ``huscf_flwr.seeding``) and never from the global one.
"""

from __future__ import annotations

import math
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional

from huscf_flwr.models.convolution import Convolution, TransposedConvolution, channels_last
from huscf_flwr.models.spec import (
    BlockSpec,
    ConvolutionSpec,
    EnlargedConvolutionSpec,
    LinearSpec,
    ProjectionSpec,
    Shape,
    TransposedConvolutionSpec,
)

LEAK = 0.2
"""Slope of a leaky activation below zero."""

_MOST_GROUPS = 8
"""Of channels in a group normalisation; fewer where eight groups of equal size cannot be had."""


class Block(nn.Module):
    """One unit of cutting, built from its spec for one input shape.

    Every kind of block has the same state names: ``embedding``, ``main`` and ``norm``.
    """

    def __init__(self, spec: BlockSpec, input_shape: Shape, classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.output_shape = spec.output_shape(input_shape)
        if spec.conditional:
            self.embedding = nn.Embedding(classes, _embedding_size(spec, input_shape))
        self.main = _main_layer(spec, input_shape, self.output_shape)
        self.norm = _normalisation(spec, self.output_shape)
        if isinstance(self.norm, nn.BatchNorm1d | nn.BatchNorm2d):
            # The normalisation subtracts the mean, and the bias with it, so the bias has gradient zero. If it
            # were computed it would be rounding noise, which Adam scales up to full steps without effect.
            self.main.bias.requires_grad_(False)
        self.activation = _activation(spec)

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map a batch [B, *input_shape] (and labels [B] if conditional) to [B, *output_shape]."""
        if self.spec.conditional:
            if labels is None:
                raise ValueError(f"a conditional {self.spec.kind} block needs the labels")
            inputs = self._join(inputs, self.embedding(labels))
        if isinstance(self.spec, LinearSpec):
            inputs = inputs.flatten(1)
        if isinstance(self.spec, EnlargedConvolutionSpec):
            inputs = functional.interpolate(inputs, scale_factor=self.spec.factor, mode="nearest")
        outputs: Tensor = self.activation(self.norm(self.main(inputs)))
        return outputs.view(-1, *self.output_shape) if outputs.dim() == 2 else outputs

    def _join(self, inputs: Tensor, embedded: Tensor) -> Tensor:
        if isinstance(self.spec, ConvolutionSpec):
            embedded = embedded.view(len(inputs), 1, *inputs.shape[2:])
        joined = torch.cat((inputs, embedded.to(inputs.dtype)), dim=1)
        return channels_last(joined) if joined.dim() == 4 else joined


def _embedding_size(spec: BlockSpec, input_shape: Shape) -> int:
    return spec.embedding if isinstance(spec, ProjectionSpec) else math.prod(input_shape[1:])


def _main_layer(spec: BlockSpec, input_shape: Shape, output_shape: Shape) -> nn.Module:
    match spec:
        case ProjectionSpec():
            return nn.Linear(input_shape[0] + spec.embedding, math.prod(output_shape))
        case ConvolutionSpec():
            channels = input_shape[0] + int(spec.label_plane)
            return Convolution(channels, spec.channels, spec.kernel, spec.stride, spec.padding)
        case TransposedConvolutionSpec():
            return TransposedConvolution(
                input_shape[0], spec.channels, spec.kernel, spec.stride, spec.padding
            )
        case EnlargedConvolutionSpec():
            return Convolution(input_shape[0], spec.channels, spec.kernel, padding=spec.padding)
        case LinearSpec():
            return nn.Linear(math.prod(input_shape), spec.features)
        case _:
            assert_never(spec)


def _normalisation(spec: BlockSpec, output_shape: Shape) -> nn.Module:
    if spec.norm == "none":
        return nn.Identity()
    flat = isinstance(spec, ProjectionSpec | LinearSpec)
    channels = math.prod(output_shape) if flat else output_shape[0]
    if spec.norm == "group":
        return nn.GroupNorm(math.gcd(channels, _MOST_GROUPS), channels)
    return nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)


def _activation(spec: BlockSpec) -> nn.Module:
    # In place: no normalisation and no main layer needs its own output in the backward pass.
    match spec.activation:
        case "relu":
            return nn.ReLU(inplace=True)
        case "leaky_relu":
            return nn.LeakyReLU(LEAK, inplace=True)
        case "tanh":
            return nn.Tanh()
        case "none":
            return nn.Identity()
