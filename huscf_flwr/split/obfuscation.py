"""Clipping and noise on activations before they are sent: obfuscation, which has no formal guarantee."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Obscure = Callable[[Tensor], Tensor]
"""Returns what crosses in place of what the discriminator's head made of real images; gradients pass it."""


def clipped(activations: Tensor, bound: float) -> Tensor:
    """Return ``activations`` [B, ...], those of each image scaled down to a root mean square of ``bound``."""
    size = activations.flatten(1).square().mean(1).sqrt()
    factor = (bound / size.clamp(min=bound)).view(-1, *[1] * (activations.dim() - 1))
    return activations * factor


def obfuscation(clip: float | None, spreads: float) -> Obscure | None:
    """Return what clips and adds noise so; None if there is nothing to do."""
    return Obfuscation(clip, spreads) if clip is not None or spreads else None


class Obfuscation:
    """Clips activations of real images and adds normal noise, in multiples of their spread in the batch.

    Noise is drawn from a stream of the client's own that begins anew with each process: the seed of a run is
    known to the server, which could draw along and take the noise off again. So a run with noise cannot be
    repeated to the bit. Clipping bounds what one image adds to a batch, but noise is far too little for
    that, so both together guarantee nothing either.
    """

    def __init__(self, clip: float | None, spreads: float) -> None:
        """Let the root mean square of an image be ``clip`` at most, if it is given, and the noise so wide."""
        self.clip, self.spreads = clip, spreads
        # PyTorch's generator would take 32 bits of a seed, which can be tried one by one.
        self._stream = np.random.default_rng(secrets.randbits(256))

    def __call__(self, activations: Tensor) -> Tensor:
        """Return ``activations`` [B, ...], clipped, with noise."""
        if self.clip is not None:
            activations = clipped(activations, self.clip)
        if not self.spreads:
            return activations
        drawn = torch.from_numpy(self._stream.standard_normal(tuple(activations.shape))).to(activations)
        spread = activations.detach().std(correction=0)
        return activations + self.spreads * spread * drawn
