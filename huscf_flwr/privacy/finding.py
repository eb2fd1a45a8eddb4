"""What an attack has found that is told in one number, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CURIOUS_SERVER = "the server"
ACTIVE_SERVER = "a server that sends other blocks"
HOLDER_OF_GENERATOR = "whoever holds the generator"
NEXT_CLIENT = "whoever is sent the discriminator"


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
