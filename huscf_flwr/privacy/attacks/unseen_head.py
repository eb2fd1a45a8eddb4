"""A5: images of real batches, from the outputs of a head whose weights the attacker has never seen.

It has public images, labels of both, and knows how the head is built. A simulator, a head with weights of
its own, is trained until its outputs of public images are distributed as those that were seen: mean of each
label, and around them covariance and skewness. A linear map that undoes it is then fitted on public images.
The idea is that of FORA and SDAR (simulator and decoder), without adversarial training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from huscf_flwr.models import Blocks

SIMULATOR_STEPS = 120
_RATE = 0.02
_RIDGE = 1e-3
_REACH = 3
"""Side of the window of outputs by which the covariance is known, and a block of pixels is decoded."""


def invert_unseen_head(
    simulators: Sequence[Blocks],
    outputs: Tensor,
    labels: Tensor,
    public: Tensor,
    public_labels: Tensor,
    steps: int = SIMULATOR_STEPS,
) -> Tensor:
    """Return images [B, C, H, W] with ``labels`` [B] that gave ``outputs`` [B, channels, h, w].

    ``public`` [N, C, H, W] are like them, and have images of all labels. ``simulators`` are changed: of
    several that begin with other weights, the one counts whose outputs become most like those seen.
    """
    seen = _Seen(outputs, labels)
    has = torch.isin(public_labels, labels)
    public, public_labels = public[has], public_labels[has]
    trained = [_trained(each, seen, public, public_labels, steps) for each in simulators]
    with torch.no_grad():
        nearest = min(trained, key=lambda each: _difference(each, seen).item())
        return _decoded(seen, nearest, _Seen(public, public_labels))


def _trained(simulator: Blocks, seen: _Seen, public: Tensor, labels: Tensor, steps: int) -> _Seen:
    """Return the outputs of a simulator that was trained to have the statistics of those seen."""
    optimiser = torch.optim.Adam(simulator.parameters(), lr=_RATE)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.autograd.backward(_difference(_Seen(simulator(public, labels), labels), seen))
        optimiser.step()
    with torch.no_grad():
        return _Seen(simulator(public, labels), labels)


class _Seen:
    """Values of a batch, as the mean of each label and deviations from it."""

    def __init__(self, values: Tensor, labels: Tensor) -> None:
        self.known = torch.tensor(sorted(set(labels.tolist())))
        self.places = torch.searchsorted(self.known, labels)
        self.means = torch.stack([values[labels == label].mean(0) for label in self.known])
        self.deviations = values - self.means[self.places]

    @property
    def covariance(self) -> Tensor:
        windows = functional.unfold(self.deviations, _REACH, stride=_REACH).transpose(1, 2).flatten(0, 1)
        return windows.t() @ windows / len(windows)

    @property
    def skewness(self) -> Tensor:
        """Of each channel, which tells a kernel from its negative."""
        return self.deviations.pow(3).mean((0, 2, 3))


def _difference(simulated: _Seen, seen: _Seen) -> Tensor:
    pairs = (
        (simulated.means, seen.means),
        (simulated.covariance, seen.covariance),
        (simulated.skewness, seen.skewness),
    )
    return torch.stack([(one - other).square().sum() / other.square().sum() for one, other in pairs]).sum()


def _decoded(seen: _Seen, simulated: _Seen, public: _Seen) -> Tensor:
    """Decode deviations by ridge regression on simulated ones, and add the public mean of the label."""
    stride = public.means.shape[-1] // seen.means.shape[-1]
    inputs, blocks = (
        _windows(simulated.deviations),
        functional.unfold(public.deviations, stride, stride=stride),
    )
    targets = blocks.transpose(1, 2).flatten(0, 1)
    gram = inputs.t() @ inputs
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    weights = torch.linalg.solve(gram, inputs.t() @ targets)
    found = (_windows(seen.deviations) @ weights).view(len(seen.places), -1, targets.shape[1]).transpose(1, 2)
    images = functional.fold(found, public.means.shape[-2:], stride, stride=stride)
    return (images + public.means[torch.searchsorted(public.known, seen.known)][seen.places]).clamp(-1, 1)


def _windows(values: Tensor) -> Tensor:
    """Return what is around each place of [B, channels, h, w], [B * h * w, channels * window]."""
    return functional.unfold(values, _REACH, padding=_REACH // 2).transpose(1, 2).flatten(0, 1)
