"""A3: how often a client has each label, from gradients that its noised embedding sends back into fakes.

What a client sends of a fake with label y is the gradient of ``NoisedEmbedding.discrepancy``. By the features
of that fake, and times half the batch, it is the same for all fakes of the label::

    share_y * sum_y / (count_y - 1)  -  share_y * mean_y

Fakes are the server's to compute, and so are the sum of their features and their number. The share and the
mean are of the client's images, and the same in every step. So what crosses are equations that are linear in
the share, which is wanted, and in the product of share and mean. The noise of an epsilon is in both, but as
wide as one image needs, and a share is of many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, lsmr
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks
from huscf_flwr.models.convolution import plain_convolutions

_ITERATIONS = 30
"""Of the solver. Means are never found to the last feature; shares are, long before."""
_SHARE_WIDTH = 10.0
"""How much a share counts for a feature of a mean where equations leave both open: the least solution would
else take from shares what many small features can make up for. From 10 to 300 the mix is the same."""


class Criticised(NamedTuple):
    """The fakes of a step, and what came back of them: all of it is known to the server."""

    tail: Blocks
    """The generator's, as the round began. In the first step that is what the client has."""
    inputs: Tensor
    """What was sent down to it, [B, *shape]."""
    labels: Tensor
    """Of the fakes, [B]."""
    gradient: Tensor
    """That came up, of the inputs, [B, *shape]."""


def mix_of_criticism(
    steps: Sequence[Criticised], features: Callable[[Tensor], Tensor], classes: int
) -> Tensor:
    """Return the shares [classes] of labels with which ``steps`` would be as they were, nearly.

    They are alike if no gradient says anything, as where a client has seen no label for its noise.

    Args:
        steps: two or more of one round, since in a single step a share cannot be told from a mean.
        features: of images [B, *shape], as the client computes them: [B, F].
        classes: number of labels.
    """
    equations = [_Equations(step, features, classes) for step in steps]
    seen = torch.cat([step.gradient.float().flatten() * (len(step.labels) / 2) for step in steps])
    sizes = [step.gradient.numel() for step in steps]
    width = torch.ones(equations[0].unknowns // classes)
    width[0] = _SHARE_WIDTH

    def forward(unknown: np.ndarray) -> np.ndarray:
        table = width * torch.from_numpy(unknown).float().view(classes, -1)
        return torch.cat([each.gradient(table).flatten() for each in equations]).double().numpy()

    def backward(gradient: np.ndarray) -> np.ndarray:
        parts = torch.split(torch.from_numpy(gradient).float(), sizes)
        tables = [each.transposed(part) for each, part in zip(equations, parts, strict=True)]
        return (width * torch.stack(tables).sum(0)).flatten().double().numpy()

    operator = LinearOperator(
        (len(seen), equations[0].unknowns), matvec=forward, rmatvec=backward, dtype=np.float64
    )
    found = lsmr(operator, seen.double().numpy(), maxiter=_ITERATIONS)[0]
    shares = torch.from_numpy(found).view(classes, -1)[:, 0].clamp(min=0)
    return shares / shares.sum() if shares.sum() > 0 else torch.full_like(shares, 1 / classes)


class _Equations:
    """Those of one step, in unknowns [classes, 1 + F]: each label's share, and share times mean."""

    def __init__(self, step: Criticised, features: Callable[[Tensor], Tensor], classes: int) -> None:
        self._inputs = step.inputs.detach().float().clone().requires_grad_()
        with plain_convolutions():  # they alone can be differentiated twice
            self._features = features(step.tail(self._inputs))
        chosen = functional.one_hot(step.labels, classes).float()
        counts = chosen.sum(0)
        self._chosen = chosen * (counts > 1)  # of a single fake nothing is said
        self._others = self._chosen.T @ self._features.detach() / (counts - 1).clamp(min=1.0)[:, None]
        self._directions = torch.zeros_like(self._features).requires_grad_()
        self._back = self._of_inputs(self._directions, create_graph=True)
        self.unknowns = classes * (1 + self._features.shape[1])

    def gradient(self, table: Tensor) -> Tensor:
        """Return the gradient of the step's inputs, [B, *shape], that a ``table`` of unknowns would give."""
        by_label = table[:, :1] * self._others - table[:, 1:]
        return self._of_inputs(self._chosen @ by_label)

    def transposed(self, gradient: Tensor) -> Tensor:
        """Return the transposed map: of a ``gradient``, of as many numbers, a table [classes, 1 + F]."""
        (of_features,) = torch.autograd.grad(
            self._back, self._directions, gradient.view_as(self._back), retain_graph=True
        )
        by_label = self._chosen.T @ of_features
        return torch.cat(((by_label * self._others).sum(1, keepdim=True), -by_label), dim=1)

    def _of_inputs(self, directions: Tensor, *, create_graph: bool = False) -> Tensor:
        (back,) = torch.autograd.grad(
            self._features, self._inputs, directions, retain_graph=True, create_graph=create_graph
        )
        return back
