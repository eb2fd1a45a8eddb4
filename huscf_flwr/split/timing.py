"""How long clients compute, and how long their frames are under way.

A client's computation is timed where it happens. Its transfers cannot be timed at one end without clocks
that agree, but their sum can: an exchange, as the client's host sees it, is the way up, the time that the
frames wait at the server for the other hosts and for the bodies, and the way down; the server knows the time
in between (``LockStep.waited``) and takes it off.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from huscf_flwr.split.exchange import Exchange, Parcels
from huscf_flwr.split.lockstep import Channel

Clock = Callable[[], float]
"""Gives seconds since some moment."""


@dataclass(frozen=True)
class ClientTimes:
    """Seconds of one client in one round."""

    compute_s: float
    """Its own computation."""
    exchange_s: float
    """From frames sent to frames received, all exchanges together, waiting at the server included."""


class HostTimer:
    """Times the clients of a host.

    All of them send and receive together: an exchange of the host is an exchange of each of its clients.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._compute_s: defaultdict[int, float] = defaultdict(float)
        self._exchange_s = 0.0

    @contextmanager
    def computing(self, client: int) -> Iterator[None]:
        """Time a part of the computation of ``client``."""
        started = self._clock()
        yield
        self._computed(client, self._clock() - started)

    def exchange(self, channel: Channel, exchange: Exchange, frames: Parcels) -> Parcels:
        """Exchange frames over ``channel``, and time it."""
        started = self._clock()
        received = channel.exchange(exchange, frames)
        self._exchange_s += self._clock() - started
        return received

    def times(self) -> Mapping[int, ClientTimes]:
        """Return the times of every client so far."""
        return {client: ClientTimes(seconds, self._exchange_s) for client, seconds in self._compute_s.items()}

    def _computed(self, client: int, seconds: float) -> None:
        self._compute_s[client] += seconds
