"""How networks learn from images with differential privacy: a client's, and those of whoever imitates it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from huscf_flwr.accounting.secret_noise import KeyedStream
from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, normalise
from huscf_flwr.methods.huscf.private_work import sample_size
from huscf_flwr.models import model_spec_of, weight_dtype
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.split.embedding import RandomFeatures, noised_sums
from huscf_flwr.split.private_learning import PrivateLearning, PrivateSteps


def sampling_rate(config: RunConfig, images: int) -> float:
    """Return with which probability one of so many ``images`` takes part in a step of the discriminator."""
    return min(1.0, sample_size(config) / images)


def noised_learning(
    config: RunConfig, images: LabelledImages, noise_multiplier: float, stream: KeyedStream
) -> PrivateLearning:
    """Return how a discriminator learns from ``images`` by DP-SGD; choices and noise are from ``stream``."""
    steps = PrivateSteps(
        sampling_rate=sampling_rate(config, len(images)),
        noise_multiplier=noise_multiplier,
        clip=config.privacy.clip,
        each_time=config.privacy.discriminator_steps,
    )
    return PrivateLearning(len(images), partial(_computed_on, config, images), steps, stream)


def random_features(config: RunConfig) -> RandomFeatures:
    """Return the features of an embedding, which are the same for all clients."""
    return RandomFeatures(model_spec_of(config).image.shape, config.privacy.features, config.seed)


def released_sums(
    config: RunConfig, images: LabelledImages, noise_multiplier: float, stream: KeyedStream
) -> Tensor:
    """Return the noised sums of the features of ``images`` by label, [labels, features + 1], on the CPU."""
    pixels, labels = _computed_on(config, images, torch.arange(len(images)))
    classes = model_spec_of(config).classes
    return noised_sums(random_features(config)(pixels), labels, classes, noise_multiplier, stream).cpu()


def _computed_on(config: RunConfig, images: LabelledImages, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return pixels [N, C, H, W] from -1 to 1 and labels [N] at ``places``, where networks compute."""
    chosen, device = images.subset(places), device_of(config.compute)
    pixels = normalise(chosen.images, weight_dtype(dtype_of(config)))
    return pixels.to(device), chosen.labels.to(device)
