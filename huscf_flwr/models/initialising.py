"""Initial weights by the rules of PyTorch's own layers, drawn from a stream and never from the global one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Built = TypeVar("Built", bound=nn.Module)


def built_from(make: Callable[[], Built], stream: torch.Generator) -> Built:
    """Return the module that ``make`` makes, on the CPU, with its layers' weights drawn from ``stream``."""
    with torch.device("meta"):  # without memory, PyTorch's layers do not draw from the global stream
        module = make()
    initialise(module.to_empty(device="cpu"), stream)
    return module


@torch.no_grad()
def initialise(module: nn.Module, stream: torch.Generator) -> None:
    """Draw the parameters of all layers of ``module`` from ``stream``, in their order.

    Of a convolution or linear layer first the weight and then the bias, if it has one: uniform in
    ±1 / sqrt(numbers in the weight of one unit of the first axis). That axis counts outputs, except with
    transposed convolutions, where it counts inputs. Normalisations begin with scale 1 and shift 0, and
    running statistics are reset. All tensors are overwritten, so they may be uninitialised before.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Embedding):
            layer.weight.normal_(generator=stream)
        elif isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=stream)
            if layer.bias is not None:
                limit = 1 / math.sqrt(layer.weight[0].numel())
                layer.bias.uniform_(-limit, limit, generator=stream)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
            layer.reset_parameters()
