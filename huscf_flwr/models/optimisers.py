"""Adam and stochastic gradient descent, which start fast: PyTorch's own steps, without its ``Optimizer``.

The first ``torch.optim.Optimizer`` of a process loads PyTorch's compiler, whether or not anything is
compiled: as many seconds as PyTorch itself takes to load. In a deployment every message starts a process, so
clients would wait for it in every round. The functions that ``torch.optim`` steps with load nothing, and give
the same numbers to the bit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What `Adam` keeps of a parameter, by the names that ``torch.optim.Adam`` has for it."""

MOMENTUM = "momentum_buffer"
"""What `SGD` keeps of a parameter, if it has momentum."""

_EPSILON = 1e-8


def half_cosine(first: float, step: int, steps: int) -> float:
    """Return the rate of ``step``, counted from zero, that falls from ``first`` to zero in ``steps``."""
    return first * (1 + math.cos(math.pi * step / steps)) / 2


class _Optimiser:
    """Parameters, and what is kept of each from step to step.

    Raises ``ValueError`` if there is none: somebody has forgotten what to train.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self._parameters = list(parameters)
        if not self._parameters:
            raise ValueError("an optimiser was given no parameters: give it those of what is to be trained")
        self.learning_rate = learning_rate
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    def zero_grad(self) -> None:
        """Forget the gradients gathered so far."""
        for parameter in self._parameters:
            parameter.grad = None

    def _with_gradients(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parameters that have gradients, and these."""
        found = [(each, each.grad) for each in self._parameters if each.grad is not None]
        return [parameter for parameter, _ in found], [gradient for _, gradient in found]


class Adam(_Optimiser):
    """Adam (arXiv 1412.6980, algorithm 1), all parameters in one pass: ``fused`` in PyTorch's words."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(parameters, learning_rate)
        self._betas = betas
        # Steps may be recorded; a CPU has nothing to record them with.
        self._recordable = any(parameter.is_cuda for parameter in self._parameters)

    @torch.no_grad()
    def step(self) -> None:
        """Step with the gradients gathered so far; a parameter without one stays as it is."""
        parameters, gradients = self._with_gradients()
        steps, means, squares = ([self._kept(each)[moment] for each in parameters] for moment in MOMENTS)
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            capturable=self._recordable,
            fused=True,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=_EPSILON,
            maximize=False,
        )

    def _kept(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
            moments = (steps, torch.zeros_like(parameter), torch.zeros_like(parameter))
            state.update(zip(MOMENTS, moments, strict=True))
        return state


class SGD(_Optimiser):
    """Stochastic gradient descent, with momentum."""

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float, momentum: float = 0.0) -> None:
        super().__init__(parameters, learning_rate)
        self._momentum = momentum

    @torch.no_grad()
    def step(self) -> None:
        """Step with the gradients gathered so far; a parameter without one stays as it is."""
        parameters, gradients = self._with_gradients()
        buffers = [self.state[each].get(MOMENTUM) for each in parameters]
        sgd(
            parameters,
            gradients,
            buffers,
            weight_decay=0.0,
            momentum=self._momentum,
            lr=self.learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        for parameter, buffer in zip(parameters, buffers, strict=True):
            if buffer is not None:
                self.state[parameter][MOMENTUM] = buffer
