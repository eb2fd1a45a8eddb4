"""Batches of noise: what a step takes, in time and in bytes, does not depend on the images."""

from __future__ import annotations

import torch

from huscf_flwr.models import ModelSpec
from huscf_flwr.split.batch import Batch


def noise_batch(spec: ModelSpec, batch_size: int, stream: torch.Generator) -> Batch:
    """Draw one batch of ``batch_size`` samples from ``stream``."""
    return Batch(
        images=torch.rand(batch_size, *spec.image.shape, generator=stream) * 2 - 1,
        labels=torch.randint(spec.classes, (batch_size,), generator=stream),
        latents=torch.randn(batch_size, spec.latent, generator=stream),
    )
