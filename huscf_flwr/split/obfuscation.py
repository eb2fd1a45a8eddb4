"""Noise on activations before they are sent: obfuscation, which has no formal guarantee."""

from __future__ import annotations

import secrets
from collections.abc import Callable

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
        self._stream = torch.Generator().manual_seed(secrets.randbits(63))

    def __call__(self, activations: Tensor) -> Tensor:
        """Return ``activations`` [B, ...] with noise."""
        drawn = torch.randn(activations.shape, generator=self._stream, dtype=activations.dtype)
        spread = activations.std(correction=0)
        return activations + self.spreads * spread * drawn.to(activations.device)
