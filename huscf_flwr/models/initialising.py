"""Initial weights by the rule of PyTorch's own layers, drawn from a stream of the caller's."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def draw_weights(network: nn.Module, stream: torch.Generator) -> None:
    """Draw the weights of all convolutions and linear layers of ``network``, which is on the CPU.

    In the network's order, of each layer first the weight and then the bias, if it has one: uniform in
    ±1 / sqrt(numbers in the weight of one unit of the first axis). That axis counts outputs, except with
    transposed convolutions, where it counts inputs; PyTorch's layers do the same. Normalisations begin with
    the scale 1 and the shift 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=stream)
            limit = 1 / math.sqrt(layer.weight[0].numel())
            if layer.bias is not None:
                layer.bias.uniform_(-limit, limit, generator=stream)
        elif isinstance(layer, nn.GroupNorm):
            layer.reset_parameters()
