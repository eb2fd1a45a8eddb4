"""How long a session waits for a host in one exchange.

Devices differ by a factor of a hundred, so no number of seconds fits all: a deadline is a multiple of what a
step is predicted to take, or has taken. An exchange is a sixth of a step or more, but never a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deadlines:
    """Seconds for each exchange of a session; ``LockStep`` asks for them as its ``patience``."""

    first_step_s: float
    """Least for an exchange of the first step, which covers the start of the hosts' processes."""
    least_s: float
    """Least for any later one."""
    factor: float
    """How many times the step's time."""
    predicted_step_s: float

    def __call__(self, longest_step_s: float | None) -> float:
        """Return the seconds for the next exchange, if the longest step so far took ``longest_step_s``."""
        if longest_step_s is None:
            return max(self.first_step_s, self.factor * self.predicted_step_s)
        return max(self.least_s, self.factor * max(self.predicted_step_s, longest_step_s))
