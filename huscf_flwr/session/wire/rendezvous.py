"""Who can take part at the same time.

Lock-step needs all hosts at once, but a simulation may not have the processors to run all SuperNodes side by
side, and one that waits for another which cannot start waits for ever. So all hosts come to a rendezvous
before the first round. It ends when all are there, or a window after the first arrival. A host that comes
later could start only because another had finished: it is not admitted, and hosts no clients.
"""

from __future__ import annotations

import threading
import time


class Rendezvous:
    """Collects hosts until all have come or the window since the first arrival is over."""

    def __init__(self, expected: int, window: float) -> None:
        """Expect ``expected`` hosts within ``window`` seconds of the first."""
        self._expected = expected
        self._window = window
        self._closes_at: float | None = None
        self._closed = False
        self._admitted: set[str] = set()
        self._changed = threading.Condition()

    def arrive(self, host: str) -> bool:
        """Take part as ``host``; returns whether it was admitted, once that is decided."""
        with self._changed:
            if self._closed or self._is_over():
                return False
            self._admitted.add(host)
            if self._closes_at is None:
                self._closes_at = time.monotonic() + self._window
            self._changed.notify_all()
            self._changed.wait_for(self._is_over, timeout=self._closes_at - time.monotonic())
            self._closed = True
            self._changed.notify_all()
            return True

    def _is_over(self) -> bool:
        full = len(self._admitted) >= self._expected
        return full or (self._closes_at is not None and time.monotonic() >= self._closes_at)
