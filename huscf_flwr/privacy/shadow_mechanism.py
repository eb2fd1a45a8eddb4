"""How shadow models learn from images: as the clients of a run do, whose settings everybody knows.

A model that learnt with clips and noise is on another scale than one that learnt without, so what the latter
make of an image says nothing of the former.
"""

from __future__ import annotations

from torch import Tensor

from huscf_flwr.accounting import noise_multiplier_for
from huscf_flwr.accounting.secret_noise import KeyedStream, seeded_key
from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.huscf.private_mechanism import (
    noised_learning,
    random_features,
    released_sums,
    sampling_rate,
)
from huscf_flwr.split import Batch, Watch
from huscf_flwr.split.embedding import NoisedEmbedding
from huscf_flwr.split.local_discriminator import Criticise, Learn, criticise, learn
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
        sampling_rate=1.0 if once else sampling_rate(config, images),
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
        sums = released_sums(config, images, noise_multiplier, stream)
        embedding = NoisedEmbedding.of(random_features(config), sums, noise_multiplier)
        return _learn_nothing, lambda _, fakes, labels: embedding.criticise(fakes, labels)
    return noised_learning(config, images, noise_multiplier, stream), criticise


def _learn_nothing(
    discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
) -> None:
    """Leave the discriminator as it is."""
