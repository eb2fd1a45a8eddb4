"""Initial weights by the rules of PyTorch's own layers, drawn from a stream and never from the global one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

Built = TypeVar("Built", bound=nn.Module)


def built_from(make: Callable[[], Built], stream: torch.Generator) -> Built:
    """Return the module that ``make`` makes, on the CPU, with its layers' weights drawn from ``stream``."""
    module = uninitialised(make)
    initialise(module, stream)
    return module


def uninitialised(make: Callable[[], Built]) -> Built:
    """Return the module that ``make`` makes, on the CPU: whatever the memory held is in its tensors."""
    # Without memory, PyTorch's layers do not draw from the global stream. Their own rules would be followed
    # in Python then, and load PyTorch's compiler, only to be overwritten.
    with torch.device("meta"), _NotInitialised():
        module = make()
    # As ``to_empty`` does, which loads it too.
    room = {name: torch.empty(each.shape, dtype=each.dtype) for name, each in module.state_dict().items()}
    module.load_state_dict(room, assign=True)
    return module


class _NotInitialised(TorchFunctionMode):
    """While it lasts, the functions of ``torch.nn.init`` that draw leave their tensor as it is."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take the place of ``func``, called with ``args`` and ``kwargs``."""
        named = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


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
