"""Settings of GeFL."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt

from huscf_flwr.config import MethodSettings, RunConfig
from huscf_flwr.methods.first_rounds import FirstRounds, first_rounds


class GeFLSettings(MethodSettings):
    """Which generator is trained, for how long, and how classifiers learn from its images.

    Attributes:
        generator: what learns to draw images: a conditional variational autoencoder (``cvae``), or a
            conditional GAN (``dcgan``). Both have the generator of ``model.spec`` and are trained as
            ``optimiser`` says; the public code takes Adam with the learning rate 0.001 for the one, and
            0.0002 for the other.
        generator_rounds: number of first rounds, in which clients train the generator and the server averages
            it, and no classifier is trained; fewer than ``rounds``. ``half``: half of ``rounds``. The public
            code has 100 of them for ``cvae`` and 50 for ``dcgan``, before 50 rounds for classifiers.
        divergence_weight: weight of the KL divergence in the loss of ``cvae``, beside the sum of squared
            errors.
        drawn_epochs: passes over drawn images in each of the other rounds; a pass has as many images as the
            client has itself. They are drawn anew in every round.
        mixing: a client trains on drawn images first and then, for the local epochs, on its own (``before``),
            as the public code does; or it shuffles both together, for the local epochs (``together``).
    """

    section: ClassVar[str] = "gefl"

    generator: Literal["cvae", "dcgan"] = "cvae"
    generator_rounds: FirstRounds = "half"
    divergence_weight: NonNegativeFloat = 1.0
    drawn_epochs: PositiveInt = 1
    mixing: Literal["before", "together"] = "before"


def generator_rounds_of(config: RunConfig) -> int:
    """Return how many rounds train the generator."""
    return first_rounds(config, config.settings(GeFLSettings).generator_rounds)
