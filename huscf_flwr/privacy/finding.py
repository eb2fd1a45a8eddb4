"""What an attack has found that is told in one number, whatever the method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from huscf_flwr.naming import clients_named
from huscf_flwr.privacy.floors import above_mean
from huscf_flwr.privacy.scoring import Nearness

CURIOUS_SERVER = "the server"
ACTIVE_SERVER = "a server that sends other blocks"
STEERING_SERVER = "a server that sends other gradients"
HOLDER_OF_GENERATOR = "whoever holds the generator and knows the run's settings"
NEXT_CLIENT = "whoever is sent the discriminator"
PEER = "whoever is in the same average"

NO_ACTIVATIONS = "no activation of a real image crosses"
"""Why there is nothing to make images of."""

PSNR = "PSNR, dB, the median"
AUC = "AUC"
VARIATION = "total variation to the true mix"
KNOWN = "share of labels known"
MEANS = "share of class means"
SSIM = "SSIM to the nearest image of its own"
DISTANCE = "distance to what it sent, in that of the average"


@dataclass(frozen=True)
class Most:
    """What was had of the client of which most is had, in all of its steps."""

    client: int
    value: float
    chance: float
    """What it would give of the same client to have seen nothing."""
    below: tuple[int, ...] = ()
    """Clients of which less is had, in any step, than an attack has that works."""


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
    most: Most | None = None
    """What was had of one client, where ``value`` is a mean over several."""
    withstood: Mapping[int, str] = field(default_factory=dict)
    """Clients of which nothing was had since something holds, and what."""
    untried: Mapping[int, str] = field(default_factory=dict)
    """Clients on which the attack could not be tried, and why: it says nothing of them."""

    @property
    def told(self) -> tuple[float | None, float | None]:
        """The value and that of knowing nothing: of the client of which most is had, where that is known."""
        return (self.value, self.chance) if self.most is None else (self.most.value, self.most.chance)

    @property
    def less_is_worse(self) -> bool:
        """Whether the number is by how much what is known is off."""
        return self.measure in (VARIATION, DISTANCE)

    @property
    def without_number(self) -> str:
        """Who withstood it, on whom it could not be tried, or that it does not apply, and why: all of it."""
        if self.reason == NO_ACTIVATIONS or not (self.withstood or self.untried):
            return f"does not apply: {self.reason}"
        return "; ".join(self.of_others)

    @property
    def of_others(self) -> list[str]:
        """Of which clients nothing was had, or on which it was not tried, and why."""
        told = [f"withstood by {who}: {why}" for why, who in _by_reason(self.withstood)]
        return told + [f"not tried on {who}: {why}" for why, who in _by_reason(self.untried)]

    @property
    def failed_on(self) -> str:
        """On whom it failed, where it did not on all, to go behind ``failed``; else empty."""
        below = () if self.most is None else self.most.below
        if not below or set(below) == set(self.clients):
            return ""
        return f" on {clients_named(below)}"

    @property
    def failure(self) -> str:
        """What is said of an attack that failed; empty if it did not.

        Differential privacy does that to one that asks who was trained on, but a bad attack looks alike.
        """
        if not self.failed:
            return ""
        epsilon = self.details.get("under_epsilon")
        if epsilon is None:
            return f"attack failed{self.failed_on}, proves nothing"
        return (
            "the attack finds nothing in models that are known either: consistent with epsilon "
            f"{epsilon:g}, proves nothing by itself"
        )


def as_json(found: Finding) -> dict[str, Any]:
    """Return plain values of a finding, with what is said of it, and how its number is to be read."""
    return {
        **asdict(found),
        "failure": found.failure,
        "less_is_worse": found.less_is_worse,
        "without_number": found.without_number if found.value is None else "",
        "of_others": found.of_others,
    }


def _by_reason(reasons: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Yield each reason with those that it is of."""
    for why in dict.fromkeys(reasons.values()):
        yield why, clients_named([client for client, each in reasons.items() if each == why])


class Reconstructed(NamedTuple):
    """What an attack made of one client's images."""

    near: Nearness
    guessed: float
    """Decibel of the mean of the client's images in the place of each, the median."""
    detail: float
    """One more number, which the attack has a name for."""
    works: bool = True
    """Whether the attack has its floor on the same client where nothing hinders it much."""


class NothingHad(NamedTuple):
    """Why there is no image of a client."""

    reason: str
    untried: bool = False
    """Whether the attack could not be tried, so that nothing has withstood it."""


def finding_of_images(
    attack: str,
    adversary: str,
    learns: str,
    by_client: Mapping[int, Reconstructed | NothingHad],
    detail: str,
    floor: Callable[[float], float] = above_mean,
) -> Finding:
    """Return what was had of the client that gave away most, and why nothing was had of others.

    What is called ``detail`` is the most of any client. It has failed if any of them is below the ``floor``,
    in decibel, that goes with its mean image, or is not a number.
    """
    found = {client: each for client, each in by_client.items() if isinstance(each, Reconstructed)}
    nothing = {client: each for client, each in by_client.items() if isinstance(each, NothingHad)}
    withstood = {client: each.reason for client, each in nothing.items() if not each.untried}
    untried = {client: each.reason for client, each in nothing.items() if each.untried}
    if not found:
        reason = "; ".join(dict.fromkeys(each.reason for each in nothing.values()))
        return Finding(attack, adversary, learns, PSNR, reason=reason, withstood=withstood, untried=untried)
    most = max(found, key=lambda client: _known(found[client].near.psnr))
    worst = found[most]
    below = tuple(
        k for k, each in found.items() if not (each.works and each.near.psnr >= floor(each.guessed))
    )
    details = {
        detail: _most(each.detail for each in found.values()),
        "psnr_worst_decile": _most(each.near.psnr_worst_decile for each in found.values()),
        "ssim": _most(each.near.ssim for each in found.values()),
    }
    return Finding(
        *(attack, adversary, learns, PSNR, worst.near.psnr, worst.guessed, tuple(found), details),
        failed=bool(below),
        most=Most(most, worst.near.psnr, worst.guessed, below),
        withstood=withstood,
        untried=untried,
    )


def _most(values: Iterable[float]) -> float:
    """Return the largest of ``values`` that is a number, if there is one."""
    return max(values, key=_known)


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value
