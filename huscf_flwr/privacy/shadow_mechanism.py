"""How shadow models learn from images: as the clients of a run do, whose settings everybody knows.

A model that learnt with clips and noise is on another scale than one that learnt without, so what the latter
make of an image says nothing of the former.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from huscf_flwr.accounting import noise_multiplier_for
from huscf_flwr.accounting.secret_noise import KeyedStream, seeded_key
from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, normalise
from huscf_flwr.methods.huscf.private_work import sample_size
from huscf_flwr.models import model_spec_of, weight_dtype
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.split import Batch, Watch
from huscf_flwr.split.embedding import NoisedEmbedding, RandomFeatures, noised_sums
from huscf_flwr.split.local_discriminator import Criticise, Learn, criticise, learn
from huscf_flwr.split.private_learning import PrivateLearning, PrivateSteps
from huscf_flwr.split.segments import TrainedBlocks


def known_noise(config: RunConfig, images: int, steps: int) -> float:
    """Return the noise multiplier of a client with so many ``images`` and ``steps`` of its generator.

    Everybody can work it out; it is zero without ``privacy.epsilon``.
    """
    privacy = config.privacy
    if privacy.epsilon is None:
        return 0.0
    once = has_untrained_discriminator(config)
    return noise_multiplier_for(
        privacy.epsilon,
        privacy.delta,
        sampling_rate=1.0 if once else _sampling_rate(config, images),
        steps=1 if once else steps * privacy.discriminator_steps,
    )


def has_untrained_discriminator(config: RunConfig) -> bool:
    """Return whether discriminators stay as they began, so that no image has left anything in them."""
    return config.privacy.epsilon is not None and config.privacy.critic == "embedding"


def mechanism_of(
    config: RunConfig, images: LabelledImages, number: int, noise_multiplier: float
) -> tuple[Learn, Criticise]:
    """Return how shadow model ``number`` learns from ``images``, and how its fakes are criticised.

    Its noise is from a stream of its own: that of the client is not known to who attacks.
    """
    if config.privacy.epsilon is None:
        return learn, criticise
    stream = KeyedStream(seeded_key(config.seed, "shadow noise", number))
    if has_untrained_discriminator(config):
        return _learn_nothing, _critic_of(_embedding(config, images, noise_multiplier, stream))
    steps = PrivateSteps(
        sampling_rate=_sampling_rate(config, len(images)),
        noise_multiplier=noise_multiplier,
        clip=config.privacy.clip,
        each_time=config.privacy.discriminator_steps,
    )
    return PrivateLearning(len(images), partial(_samples, config, images), steps, stream), criticise


def _sampling_rate(config: RunConfig, images: int) -> float:
    return min(1.0, sample_size(config) / images)


def _samples(config: RunConfig, images: LabelledImages, places: Tensor) -> tuple[Tensor, Tensor]:
    chosen, device = images.subset(places), device_of(config.compute)
    pixels = normalise(chosen.images, weight_dtype(dtype_of(config)))
    return pixels.to(device), chosen.labels.to(device)


def _embedding(
    config: RunConfig, images: LabelledImages, noise_multiplier: float, stream: KeyedStream
) -> NoisedEmbedding:
    spec = model_spec_of(config)
    features = RandomFeatures(spec.image.shape, config.privacy.features, config.seed)
    pixels, labels = _samples(config, images, torch.arange(len(images)))
    sums = noised_sums(features(pixels), labels, spec.classes, noise_multiplier, stream)
    return NoisedEmbedding.of(features, sums.cpu(), noise_multiplier)


def _learn_nothing(
    discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
) -> None:
    """Leave the discriminator as it is."""


def _critic_of(embedding: NoisedEmbedding) -> Criticise:
    def criticise(discriminator: TrainedBlocks, fakes: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG001
        loss = embedding.discrepancy(fakes, labels)
        torch.autograd.backward(loss)
        return loss.detach()

    return criticise
