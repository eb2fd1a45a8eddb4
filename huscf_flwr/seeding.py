"""Random streams named by their purpose, so that no result depends on where a client runs.

A stream is derived from the run's seed and a path such as ``("order", client, round)``. Streams with
different paths are independent, and a stream is the same in every process. This is what makes training
independent of placement.
"""

import hashlib

import numpy as np
import torch

PathPart = str | int


def derive_seed(seed: int, *path: PathPart) -> int:
    """Return a 63-bit seed for the stream that ``path`` names under the run's ``seed``."""
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in path)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_stream(seed: int, *path: PathPart) -> torch.Generator:
    """Return a fresh CPU ``torch.Generator`` at the start of the named stream."""
    return torch.Generator().manual_seed(derive_seed(seed, *path))


def numpy_stream(seed: int, *path: PathPart) -> np.random.Generator:
    """Return a fresh ``numpy.random.Generator`` at the start of the named stream."""
    return np.random.default_rng(derive_seed(seed, *path))
