"""What a private client of HuSCF-GAN computes in a step."""

from __future__ import annotations

import math

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import DiscriminatorWork
from huscf_flwr.cuts.costs import block_costs
from huscf_flwr.models import ModelSpec
from huscf_flwr.models.per_sample import AT_ONCE

_PER_SAMPLE, _PER_SAMPLE_AND_MILLION = 3.2, 6.4
"""Of ``per_sample_factor``, as ``python -m tests.models.per_sample_times`` measured it; see docs/cuts.md."""


def per_sample_factor(spec: ModelSpec) -> float:
    """Return how much longer than a batch's gradient those of its images take, one by one, clipped and added.

    A line through what was measured at a quarter of the width and at all of it: every image has a gradient
    of every weight in memory, so that a larger discriminator loses more.
    """
    parameters = sum(block.parameters for block in block_costs(spec, "discriminator", 1, "exact"))
    return _PER_SAMPLE + _PER_SAMPLE_AND_MILLION * parameters / 1e6


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
    return noised_work(spec, config.batch_size, privacy.discriminator_steps, sample_size(config))


def noised_work(spec: ModelSpec, batch_size: int, steps: int, sample: int) -> DiscriminatorWork:
    """Return what ``steps`` private steps of the discriminator compute, each on ``sample`` images."""
    return DiscriminatorWork(
        learning=steps * (1 + per_sample_factor(spec) * sample / batch_size),
        waiting=max(1.0, AT_ONCE / batch_size),
        kept_gradients=AT_ONCE,
    )


def embedding_work(spec: ModelSpec, batch_size: int, features: int) -> DiscriminatorWork:
    """Return what an embedding computes in a discriminator's place.

    It is half as many products as there are features with each fake, forward and as many back.
    """
    multiply_adds = batch_size * math.prod(spec.image.shape) * features // 2
    return DiscriminatorWork(learning=0, criticising=0, waiting=0, beside_gflop=2 * 2 * multiply_adds / 1e9)
