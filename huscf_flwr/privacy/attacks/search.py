"""Searching for what a network must have been given, or must be, to give the output that was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

SEARCH_STEPS = 200
_HISTORY = 20
_SCALE = 100.0
"""The search ends where gradients are small, by a bound that is made for losses of this order."""


def search(
    sought: Sequence[Tensor],
    output: Callable[[], Tensor],
    seen: Tensor,
    steps: int,
    penalty: Callable[[], Tensor] | None = None,
) -> None:
    """Change the ``sought`` tensors until ``output`` is as it was ``seen``, as far as ``steps`` go.

    ``penalty`` is a scalar that is added to the mean squared distance between both.
    """
    optimiser = torch.optim.LBFGS(
        sought,
        max_iter=steps,
        max_eval=2 * steps,
        history_size=_HISTORY,
        line_search_fn="strong_wolfe",
    )
    scale = _SCALE / seen.square().mean()

    def distance() -> float:
        optimiser.zero_grad()
        loss = functional.mse_loss(output(), seen)
        if penalty is not None:
            loss = loss + penalty()
        loss = scale * loss
        torch.autograd.backward(loss)
        return loss.item()

    step = cast(Callable[[Callable[[], float]], float], optimiser.step)
    step(distance)
