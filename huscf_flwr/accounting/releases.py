"""What has been released of some images, in the terms in which its privacy is counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Releases:
    """Steps that released noised sums over some images."""

    sampling_rate: float
    """Probability with which an image takes part in a step."""
    noise_multiplier: float
    """Standard deviation of the noise over the clip."""
    steps: int


class BudgetSpentError(ValueError):
    """What is asked for would take more privacy than is left."""
