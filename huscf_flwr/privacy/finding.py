"""What an attack has found that is told in one number, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

CURIOUS_SERVER = "the server"
ACTIVE_SERVER = "a server that sends other blocks"
STEERING_SERVER = "a server that sends other gradients"
HOLDER_OF_GENERATOR = "whoever holds the generator"
NEXT_CLIENT = "whoever is sent the discriminator"

NO_ACTIVATIONS = "no activation of a real image crosses"
"""Why there is nothing to make images of."""


@dataclass(frozen=True)
class Finding:
    """One number that says how much somebody learns of some clients, or why there is none."""

    attack: str
    """As ``--attacks`` has it, such as ``A3``."""
    adversary: str
    learns: str
    """What it is about, such as ``which labels a client has``."""
    measure: str
    """What the numbers are, such as ``AUC``."""
    value: float | None = None
    """None if the attack does not apply: see ``reason``."""
    chance: float | None = None
    """What the same number is for somebody who has seen nothing."""
    clients: tuple[int, ...] = ()
    """Those that were attacked."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """More plain values, by name."""
    reason: str = ""
    """Why there is no number."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Reconstructed(NamedTuple):
    """What an attack made of one client's images."""

    psnr: float
    """Decibel, the median over the images."""
    guessed: float
    """The same for the mean of the client's images in the place of each."""
    detail: float
    """One more number, which the attack has a name for."""


def finding_of_images(
    attack: str, adversary: str, learns: str, by_client: Mapping[int, Reconstructed], detail: str, reason: str
) -> Finding:
    """Return means over the clients, with the one called ``detail``; the ``reason`` if there are none."""
    measure = "PSNR, dB, the median"
    if not by_client:
        return Finding(attack, adversary, learns, measure, reason=reason)
    psnr, guessed, more = (fmean(values) for values in zip(*by_client.values(), strict=True))
    return Finding(attack, adversary, learns, measure, psnr, guessed, tuple(by_client), {detail: more})
