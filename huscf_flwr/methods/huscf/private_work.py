"""What a private client of HuSCF-GAN computes in a step."""

from __future__ import annotations

import math

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import DiscriminatorWork
from huscf_flwr.models import ModelSpec
from huscf_flwr.models.per_sample import AT_ONCE

PER_SAMPLE = 4.0
"""Times as long as the gradient of a batch takes: those of its images one by one, clipped and added.

As ``python -m tests.models.per_sample_times`` measured it; see docs/privacy.md.
"""


def sample_size(config: RunConfig) -> int:
    """Return how many images take part in a private step of the discriminator, on average."""
    return config.privacy.sample or config.batch_size


def discriminator_work(config: RunConfig, spec: ModelSpec) -> DiscriminatorWork:
    """Return what a step of ``config`` computes of the discriminator, or in its place.

    A client that has fewer images than a sample has less to do.
    """
    privacy = config.privacy
    if privacy.epsilon is None:
        return DiscriminatorWork()
    if privacy.critic == "embedding":
        return embedding_work(spec, config.batch_size, privacy.features)
    return noised_work(config.batch_size, privacy.discriminator_steps, sample_size(config))


def noised_work(batch_size: int, steps: int, sample: int) -> DiscriminatorWork:
    """Return what ``steps`` private steps of the discriminator compute, each on ``sample`` images."""
    return DiscriminatorWork(
        learning=steps * (1 + PER_SAMPLE * sample / batch_size),
        waiting=max(1.0, AT_ONCE / batch_size),
        kept_gradients=AT_ONCE,
    )


def embedding_work(spec: ModelSpec, batch_size: int, features: int) -> DiscriminatorWork:
    """Return what an embedding computes in a discriminator's place.

    It is half as many products as there are features with each fake, forward and as many back.
    """
    multiply_adds = batch_size * math.prod(spec.image.shape) * features // 2
    return DiscriminatorWork(learning=0, criticising=0, waiting=0, beside_gflop=2 * 2 * multiply_adds / 1e9)
