"""What an attack that works has at least: below it has failed, and proves nothing.

The floors are those of what was measured on this project's networks, with whole precision. What hinders an
attack, such as a narrow wire, may bring it below its floor too: a better attack may then get more, so that
what was found bounds nothing. What is not a number is at no floor.
"""

from __future__ import annotations

import math

from huscf_flwr.models import Cut

RECOGNISABLE = 20.0
"""Decibel from which on a small picture is recognised at a glance; a client's mean image has about 12."""
_FIRST_STEP = {1: 60.0, 2: 25.0}
"""Decibel in the first step of a round, when all weights are known, by blocks of the discriminator's head."""
_CLIPPED = 35.0
"""The same at most, where activations are clipped: the closed form does not hold, and the search has 42."""
_MID_ROUND = {1: 25.0, 2: 18.0}
"""Decibel later in a round, by A1 or A2. Measured are 33 and more in steps 31 and 33; with two blocks 18.9
and more with two seeds of three, and 12 to 16 where the search has failed."""
_COPIED = 40.0
"""Decibel of images that a head was made to copy (A4)."""
ABOVE_MEAN = 3.0
"""Decibel above the mean image, where an attack knows less (A4-gradients, A5)."""
KNOWN_LABELS = 0.99
"""Share of all labels of which it is known whether a client has any."""
_LABELS, _IN_WIDEST = 0.99, 0.9
"""Share of a batch's labels that are read: all in noise of 4 spreads, and 97 % or more in noise of 8."""
MIX = 0.15
"""Total variation to the true mix of labels that is had at most."""
OTHERS_BLOCKS = 1e-3
"""Distance to the blocks of the other of two in an average, in that of the average, that is had at most."""
LITTLE_NOISE = 0.1
"""Spreads of noise in which an attack that is made for noise is tried, to see that it works."""
_WIDE = 1.0
"""Spreads of noise from which on it alone may hide a small picture: measured are 20.8 dB."""
_AT_WIDE, _PER_DECADE = 17.0, 13.0
"""Measured are 33.6, 25.0 and 20.8 dB with noise of 0.1, 0.5 and 1 spread; a line 3 to 4 dB below them."""
_TRAP_AT_WIDE = 11.0
"""The same line for A4: measured are 29.9, 27.9 and 27.9 dB in noise of 0.1, with one to three blocks."""
_WIDEST = 4.0
"""Spreads of noise from which on little more is had than the mean image: 12.6 dB in noise of 8."""
_BELOW_MEAN = 0.5
"""Decibel below the mean image: public images, which the attacker has, have another mean."""


def floor_of_images(
    cut: Cut, noise: float, mean_image: float, *, first: bool = True, is_clipped: bool = False
) -> float:
    """Return the least decibel of A1 and A2 together in the ``first`` step of a round, or in a later one.

    ``noise`` is in spreads of activations, which may have been clipped before, and ``mean_image`` what the
    mean of a client's images would give. It is -inf where nobody has measured what an attack has: later than
    the first step, for a head of three blocks or more.
    """
    floors, otherwise = (_FIRST_STEP, RECOGNISABLE) if first else (_MID_ROUND, -math.inf)
    floor = floors.get(cut.discriminator_head, otherwise)
    return with_noise(min(floor, _CLIPPED) if is_clipped else floor, noise, mean_image)


def floor_of_trap(noise: float, mean_image: float) -> float:
    """Return the least decibel of A4, with ``noise`` of so many spreads on activations.

    Of these most are between channels in a trap, so that the same noise blurs more.
    """
    return with_noise(_COPIED, noise, mean_image, _TRAP_AT_WIDE)


def with_noise(floor: float, noise: float, mean_image: float, at_wide: float = _AT_WIDE) -> float:
    """Return what is left of a ``floor``, in decibel, with ``noise`` of so many spreads on activations.

    Narrow noise blurs little, so that an attack that finds much less has failed, and not the noise helped. In
    wide noise there still is the mean image, which takes no activation at all; just below, ``at_wide``.
    """
    if noise == 0:
        return floor
    if noise >= _WIDEST:
        return min(floor, mean_image - _BELOW_MEAN)
    if noise >= _WIDE:
        return min(floor, mean_image)
    return min(floor, max(at_wide - _PER_DECADE * math.log10(noise), mean_image))


def floor_of_labels(noise: float) -> float:
    """Return the least share of a batch's labels that are read, with ``noise`` of so many spreads."""
    return _IN_WIDEST if noise >= _WIDEST else _LABELS


def above_mean(mean_image: float) -> float:
    """Return the least decibel of an attack that knows less, by that of the mean image."""
    return mean_image + ABOVE_MEAN
