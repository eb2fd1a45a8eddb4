"""A round without an executor: clients train by themselves, and a message says when each is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from huscf_flwr.session.attendance import Attendance, DroppedClient, OnDropOut, SessionError
from huscf_flwr.session.deadlines import Clock
from huscf_flwr.session.lockstep import Progress


class MessageSession:
    """One round of clients that train by themselves, with the same interface as ``LockStep``.

    No host waits for another: they may come one after the other, in any order.
    """

    step_seconds: Sequence[float] = ()
    """There are no steps that all take together."""
    served_s = 0.0
    """There is no executor that computes."""

    def __init__(
        self,
        hosts: Sequence[Sequence[int]],
        *,
        min_clients: int = 1,
        progress: Progress = lambda _: None,
        on_drop_out: OnDropOut = lambda *_: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Open a round of the clients of all ``hosts``; with fewer than ``min_clients`` it fails.

        ``progress`` is called with the number of clients that are done, ``on_drop_out`` with each drop-out.
        """
        self._attendance = Attendance(hosts, min_clients=min_clients, on_drop_out=on_drop_out)
        self._progress = progress
        self._clock = clock
        self._done: set[int] = set()
        self._last_done = clock()
        self._lock = threading.RLock()
        self.stopped: BaseException | None = None
        """Why hosts should go no further, if the session was stopped."""
        self.waited = [0.0] * len(hosts)
        """Seconds that each host waited for others: none."""

    @property
    def hosts(self) -> tuple[tuple[int, ...], ...]:
        """The client ids of each host, those that have dropped out included."""
        return self._attendance.hosts

    @property
    def finished(self) -> bool:
        """Whether all clients that have not dropped out are done."""
        with self._lock:
            return self._is_finished()

    @property
    def failure(self) -> BaseException | None:
        """What ended the session early, if anything did."""
        return self._attendance.failure

    @property
    def dropped(self) -> Mapping[int, DroppedClient]:
        """The clients that dropped out so far."""
        with self._lock:
            return dict(self._attendance.dropped)

    @property
    def idle_s(self) -> float:
        """Seconds since the last client was done, or the session was opened."""
        return self._clock() - self._last_done

    def present(self, host: int) -> tuple[int, ...]:
        """Return the clients of ``host`` that have not dropped out."""
        with self._lock:
            return self._attendance.of(host)

    def done(self, client: int) -> None:
        """Take note that ``client`` has trained to the end; raises ``SessionError`` if it has no part."""
        with self._lock:
            if client not in self._attendance:
                raise SessionError(f"client {client} has no part in the round, or has dropped out of it")
            self._done.add(client)
            self._last_done = self._clock()
            self._progress(len(self._done))

    def drop(self, client: int, reason: str) -> None:
        """Let ``client`` drop out because of ``reason``."""
        with self._lock:
            self._drop(client, reason)

    def leave(self, host: int, reason: str) -> None:
        """Let all clients of ``host`` drop out because of ``reason``."""
        with self._lock:
            for client in self._attendance.of(host):
                self._drop(client, reason)

    def abort(self, reason: BaseException) -> None:
        """End the session because of ``reason``; the first reason given stays."""
        with self._lock:
            self._attendance.fail(reason)

    def stop(self, reason: BaseException) -> None:
        """Let all clients end because of ``reason``: hosts look at ``stopped`` after each batch."""
        self.stopped = reason

    def wait_until_idle(self) -> None:
        """Return at once: nothing is computed for the session outside its clients."""

    # All below is called with the lock held.

    def _drop(self, client: int, reason: str) -> None:
        finished = self._is_finished()
        if self._attendance.drop(client, DroppedClient(None, None, reason), finished=finished):
            self._done.discard(client)

    def _is_finished(self) -> bool:
        return self._done >= self._attendance.everybody()
