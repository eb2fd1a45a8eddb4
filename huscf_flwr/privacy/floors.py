"""What an attack that works has at least: below it has failed, and proves nothing.

The floors are those of what was measured on this project's networks, with whole precision. What hinders an
attack, such as a narrow wire, may bring it below its floor too: a better attack may then get more, so that
what was found bounds nothing.
"""

from __future__ import annotations

import math

from huscf_flwr.models import Cut

RECOGNISABLE = 20.0
"""Decibel from which on a small picture is recognised at a glance; a client's mean image has about 12."""
_FIRST_STEP = {1: 60.0, 2: 25.0}
"""Decibel in the first step of a round, when all weights are known, by blocks of the discriminator's head."""
COPIED = 40.0
"""Decibel of images that a head was made to copy (A4)."""
ABOVE_MEAN = 3.0
"""Decibel above the mean image, where an attack knows less (A4-gradients, A5)."""
_WIDE = 1.0
"""Spreads of noise from which on it alone may hide a small picture: measured are 20.8 dB."""
_AT_WIDE, _PER_DECADE = 17.0, 13.0
"""Measured are 33.6, 25.0 and 20.8 dB with noise of 0.1, 0.5 and 1 spread; a line 3 to 4 dB below them."""


def floor_of_images(cut: Cut, noise: float) -> float:
    """Return the least decibel of A1 or A2 in the first step; -inf where ``noise`` may explain anything."""
    return with_noise(_FIRST_STEP.get(cut.discriminator_head, RECOGNISABLE), noise)


def with_noise(floor: float, noise: float) -> float:
    """Return what is left of a ``floor``, in decibel, with ``noise`` of so many spreads on activations.

    Narrow noise blurs little, so that an attack that finds much less has failed, and not the noise helped.
    """
    if noise == 0:
        return floor
    if noise >= _WIDE:
        return -math.inf
    return min(floor, _AT_WIDE - _PER_DECADE * math.log10(noise))
