"""Random numbers that nobody can guess who has not the key: the noise and the choice of images of DP-SGD.

The generators of ``huscf_flwr.seeding`` will not do. They begin from the run's seed, which the server knows,
and PyTorch's on a CPU begins from 32 bits of it only, which can be tried one by one.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray
from torch import Tensor

from huscf_flwr.seeding import PathPart, derive_seed

_BITS = 52
"""Of a float64's 53: the last one is for the middle, without which the largest number would be one."""


def secret_key() -> bytes:
    """Return a new key, 32 bytes, from the system's own source of randomness."""
    return secrets.token_bytes(32)


def seeded_key(seed: int, *path: PathPart) -> bytes:
    """Return the key, 32 bytes, that ``path`` names under ``seed``: no secret from who knows that."""
    return hashlib.sha256(derive_seed(seed, *path).to_bytes(8, "big")).digest()


class KeyedStream:
    """A stream of random numbers from the key stream of AES in counter mode."""

    def __init__(self, key: bytes) -> None:
        """Begin the stream of ``key``, 32 bytes; the same key must not be used for two purposes."""
        self._encryptor = Cipher(AES256(key), CTR(bytes(16))).encryptor()

    def chosen(self, count: int, probability: float) -> Tensor:
        """Return which of ``count`` things are chosen, each with ``probability``: ascending places, int64."""
        return torch.from_numpy(np.flatnonzero(self._uniform(count) < probability))

    def normal_like(self, tensor: Tensor, deviation: float) -> Tensor:
        """Return normal noise of standard ``deviation`` in the shape, type and place of ``tensor``."""
        noise: Tensor = deviation * torch.special.ndtri(torch.from_numpy(self._uniform(tensor.numel())))
        return noise.view(tensor.shape).to(tensor)

    def _uniform(self, count: int) -> NDArray[np.float64]:
        """Return numbers strictly between 0 and 1: the middles of 2^52 equal parts."""
        drawn = np.frombuffer(self._encryptor.update(bytes(8 * count)), np.uint64) >> np.uint64(64 - _BITS)
        return (drawn.astype(np.float64) + 0.5) * 2.0**-_BITS
