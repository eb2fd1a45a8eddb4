"""What another client knows after a round: what it sent, what it is sent next, and how much it counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from huscf_flwr.privacy.attacks.subtraction import others_average


@dataclass(frozen=True)
class PeerView:
    """One client in one round, as it is itself; of no other client is anything in it."""

    uploaded: Mapping[str, Tensor]
    """What it sent at the end of the round, by name."""
    sent: Mapping[str, Tensor]
    """Averages that it begins the next round with, by name."""
    weight: float
    """How much its own counted in them: it is not told so, and must know or guess how much others count."""
    total_variance: bool
    """The setting: whether running variances have the spread of the means in them."""

    def others(self) -> dict[str, Tensor]:
        """Return the average of what the others sent, float64, by name."""
        return others_average(self.sent, self.uploaded, self.weight, total_variance=self.total_variance)
