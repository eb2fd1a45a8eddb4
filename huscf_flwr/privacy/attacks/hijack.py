"""A4 by gradients alone: a client's head is steered into a map that the server can undo.

Before, the server trains a head of its own, the pilot, together with a decoder that undoes it, on public
images. Then, in each step, a critic learns to tell the client's outputs of real images from the pilot's
outputs of public ones, and the client is sent the gradient by which its outputs would be taken for the
pilot's. Once they are alike, the decoder draws the client's images. The idea is that of Pasquini, Ateniese
and Bernaschi, "Unleashing the Tiger" (2021), arXiv 2012.02670: feature-space hijacking.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional

from huscf_flwr.models import Blocks
from huscf_flwr.models.initialising import built_from
from huscf_flwr.models.optimisers import Adam
from huscf_flwr.seeding import torch_stream

PREPARING_STEPS = 300
"""Of pilot and decoder, before the client is steered."""
_RATE = 1e-3
_BETAS = (0.5, 0.999)
_WIDTH = 32
"""Channels of the decoder."""


class Hijack:
    """What a server has and learns that steers one client's head."""

    def __init__(self, pilot: Blocks, critic: Blocks, public: Tensor, labels: Tensor, *, seed: int) -> None:
        """Steer towards ``pilot``, built like the head; ``critic`` makes a logit of its outputs.

        ``public`` [N, C, H, W] are images like the client's, with ``labels`` [N].
        """
        self._pilot, self._critic = pilot, critic
        self._public, self._labels = public, labels
        self._drawn = torch_stream(seed, "public images")
        with torch.no_grad():
            outputs = pilot(public[:2], labels[:2])
        make = partial(_decoder, outputs.shape[1], public.shape[1], public.shape[-1] // outputs.shape[-1])
        self._decoder = built_from(make, torch_stream(seed, "decoder"))
        self._criticism = _adam(critic.parameters())

    def prepare(self, batch: int, steps: int = PREPARING_STEPS) -> None:
        """Train pilot and decoder on batches of public images, as large as the client's."""
        optimiser = _adam(chain(self._pilot.parameters(), self._decoder.parameters()))
        for _ in range(steps):
            images, labels = self._batch(batch)
            optimiser.zero_grad()
            torch.autograd.backward(functional.mse_loss(self._decoder(self._pilot(images, labels)), images))
            optimiser.step()

    def gradient(self, outputs: Tensor) -> Tensor:
        """Return what to send back for ``outputs`` [B, channels, h, w] of real images, as large as they.

        The critic has then learnt from them.
        """
        with torch.no_grad():
            wanted = self._pilot(*self._batch(len(outputs)))
        self._criticism.zero_grad()
        torch.autograd.backward(_taken_for(self._critic(wanted), 1) + _taken_for(self._critic(outputs), 0))
        self._criticism.step()
        steered = outputs.detach().requires_grad_()
        (found,) = torch.autograd.grad(_taken_for(self._critic(steered), 1), steered)
        return found

    def images(self, outputs: Tensor) -> Tensor:
        """Return the images [B, C, H, W] from -1 to 1 that the pilot would have made ``outputs`` of."""
        with torch.no_grad():
            found: Tensor = self._decoder(outputs)
        return found

    def _batch(self, count: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self._public), (count,), generator=self._drawn)
        return self._public[chosen], self._labels[chosen]


def _decoder(channels: int, colours: int, enlarged: int) -> nn.Module:
    """Return a network from [B, channels, h, w] to images of a side ``enlarged`` times as long."""
    return nn.Sequential(
        nn.Conv2d(channels, _WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(_WIDTH, colours * enlarged**2, 3, padding=1),
        nn.PixelShuffle(enlarged),
        nn.Tanh(),
    )


def _taken_for(logits: Tensor, target: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _adam(parameters: Iterable[nn.Parameter]) -> Adam:
    return Adam([each for each in parameters if each.requires_grad], _RATE, _BETAS)
