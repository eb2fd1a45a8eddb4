"""What an attack has found that is told in one number, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from huscf_flwr.privacy.floors import ABOVE_MEAN
from huscf_flwr.privacy.scoring import Nearness

CURIOUS_SERVER = "the server"
ACTIVE_SERVER = "a server that sends other blocks"
STEERING_SERVER = "a server that sends other gradients"
HOLDER_OF_GENERATOR = "whoever holds the generator"
NEXT_CLIENT = "whoever is sent the discriminator"

NO_ACTIVATIONS = "no activation of a real image crosses"
"""Why there is nothing to make images of."""

PSNR = "PSNR, dB, the median"
AUC = "AUC"
VARIATION = "total variation to the true mix"


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
    failed: bool = False
    """Whether the attack is below what one has that works; then it proves nothing, least of all safety."""

    @property
    def failure(self) -> str:
        """What is said of an attack that failed; empty if it did not.

        Differential privacy does that to one that asks who was trained on, but a bad attack looks alike.
        """
        if not self.failed:
            return ""
        epsilon = self.details.get("under_epsilon")
        if epsilon is None:
            return "attack failed, proves nothing"
        return (
            "the attack finds nothing in models that are known either: consistent with epsilon "
            f"{epsilon:g}, proves nothing by itself"
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "failure": self.failure}


class Reconstructed(NamedTuple):
    """What an attack made of one client's images."""

    near: Nearness
    guessed: float
    """Decibel of the mean of the client's images in the place of each, the median."""
    detail: float
    """One more number, which the attack has a name for."""


def finding_of_images(
    attack: str,
    adversary: str,
    learns: str,
    by_client: Mapping[int, Reconstructed],
    detail: str,
    reason: str,
    floor: float | None = None,
) -> Finding:
    """Return what was had of the client that gave away most; the ``reason`` if there are none.

    What is called ``detail`` is the most of any client. It has failed if any of them is below ``floor``, in
    decibel; without one, if it is less than 3 dB above the mean image.
    """
    if not by_client:
        return Finding(attack, adversary, learns, PSNR, reason=reason)
    found = list(by_client.values())
    worst = max(found, key=lambda each: each.near.psnr)
    details = {
        detail: max(each.detail for each in found),
        "psnr_worst_decile": max(each.near.psnr_worst_decile for each in found),
        "ssim": max(each.near.ssim for each in found),
    }
    failed = any(each.near.psnr < (each.guessed + ABOVE_MEAN if floor is None else floor) for each in found)
    clients = tuple(by_client)
    return Finding(
        *(attack, adversary, learns, PSNR, worst.near.psnr, worst.guessed, clients, details), failed=failed
    )
