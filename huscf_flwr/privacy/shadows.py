"""Shadow models: trained by an attacker to see what a model makes of images that it has seen or not."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, ShuffledPasses
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.models import BlockStates, all_block_keys, model_spec_of
from huscf_flwr.privacy.shadow_mechanism import mechanism_of
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.split import Segments, adam_settings, unsplit_step


def check_shadows(shadows: int) -> None:
    """Raise ``ValueError`` unless so many shadow models can share images out in pairs."""
    if shadows < 2 or shadows % 2:
        raise ValueError(f"--shadows: {shadows}; take an even number, since each two share the images out")


def halves(count: int, shadows: int, seed: int) -> Tensor:
    """Return which of ``count`` images each shadow model is trained on, bool [shadows, count].

    Each two models share all of them out at random, so that each image is in half of the models.
    """
    check_shadows(shadows)
    inside = torch.zeros(shadows, count, dtype=torch.bool)
    for pair in range(shadows // 2):
        order = torch.randperm(count, generator=torch_stream(seed, "shadow halves", pair))
        inside[2 * pair, order[: count // 2]] = True
        inside[2 * pair + 1] = ~inside[2 * pair]
    return inside


def trained_shadow(
    config: RunConfig, images: LabelledImages, steps: int, number: int, noise_multiplier: float = 0.0
) -> Iterator[BlockStates]:
    """Train both networks of a run on ``images`` for so many ``steps``; yield their states after each.

    They learn as the run's clients do, with the clips and the noise of ``privacy.epsilon`` if it is set:
    ``noise_multiplier`` is then that of the client whose place they take. They begin as everybody's do where
    initial weights are common, and are nobody else's afterwards. The states are live.
    """
    spec = model_spec_of(config)
    networks = Segments(
        spec,
        list(all_block_keys(spec)),
        seed=config.seed,
        adam=adam_settings(config),
        dtype=dtype_of(config),
        device=device_of(config.compute),
    )
    learn, criticise = mechanism_of(config, images, number, noise_multiplier)
    batches = RoundBatches(
        images,
        config,
        latent=spec.latent,
        # Its batches are from a stream that no client has.
        client=-1 - number,
        number=0,
        # Who learns with differential privacy draws images elsewhere.
        sampler=ShuffledPasses if config.privacy.epsilon is None else None,
    )
    for _ in range(steps):
        unsplit_step(networks, batches.next(), learn=learn, criticise=criticise)
        yield networks.states()
