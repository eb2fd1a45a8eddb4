"""How long a session waits for a host in one exchange, and when its steps ended.

Devices differ by a factor of a hundred, so no number of seconds fits all: a deadline is a multiple of what a
step is predicted to take, or has taken. An exchange is a part of a step, or all of it, but never more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Gives seconds since some moment."""

Patience = Callable[[float | None], float]
"""Gives the seconds that hosts have for the next exchange, from those of the longest step so far, if any."""


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


class StepClock:
    """Knows how long steps took, and until when hosts must come to the exchange that is due."""

    def __init__(self, patience: Patience, clock: Clock) -> None:
        """Start with the session; the first exchange is due from now on."""
        self.patience = patience
        self._clock = clock
        self.step_seconds: list[float] = []
        """How long each step took; the first from the opening of the session on."""
        self._step_began = clock()
        self.allowed_s = math.inf
        """Seconds for the exchange that is due."""
        self._deadline = math.inf
        self.expect_exchange()

    @property
    def idle_s(self) -> float:
        """Seconds since the last step was finished, or the session was opened."""
        return self._clock() - self._step_began

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline, none below zero; None if there is no deadline."""
        seconds = self._deadline - self._clock()
        return None if math.isinf(seconds) else max(0.0, seconds)

    @property
    def is_late(self) -> bool:
        """Whether the deadline is over."""
        return self._clock() >= self._deadline

    def expect_exchange(self) -> None:
        """Set the deadline of the next exchange."""
        self.allowed_s = self.patience(max(self.step_seconds, default=None))
        self._deadline = self._clock() + self.allowed_s

    def end_step(self) -> None:
        """Take note of how long the step took that has just ended."""
        began, self._step_began = self._step_began, self._clock()
        self.step_seconds.append(self._step_began - began)
