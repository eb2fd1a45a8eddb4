"""Noise on activations before they are sent: obfuscation, which has no formal guarantee."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Obscure = Callable[[Tensor], Tensor]
"""Returns what crosses in place of what the discriminator's head made of real images."""


class ActivationNoise:
    """Adds normal noise to activations, its standard deviation a multiple of theirs in the batch.

    It is drawn from a stream of the client's own that begins anew with each process: the seed of a run is
    known to the server, which could draw along and take the noise off again. So a run with noise cannot be
    repeated to the bit. Nothing bounds what one image changes, so that this guarantees nothing.
    """

    def __init__(self, spreads: float) -> None:
        """Let the noise be so many spreads wide."""
        self.spreads = spreads
        # PyTorch's generator would take 32 bits of a seed, which can be tried one by one.
        self._stream = np.random.default_rng(secrets.randbits(256))

    def __call__(self, activations: Tensor) -> Tensor:
        """Return ``activations`` [B, ...] with noise."""
        drawn = torch.from_numpy(self._stream.standard_normal(tuple(activations.shape))).to(activations)
        spread = activations.std(correction=0)
        return activations + self.spreads * spread * drawn
