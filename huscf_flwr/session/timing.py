"""How long clients compute, and how long their frames are under way.

A client's computation is timed where it happens. Its transfers cannot be timed at one end without clocks
that agree, but their sum can: an exchange, as the client's host sees it, is the way up, the time that the
frames wait at the server for the other hosts and for the executor, and the way down; the server knows the
time in between (``LockStep.waited``) and takes it off. What is on its way while the host computes for another
client costs no time, and is not counted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from huscf_flwr.session.channel import Channel
from huscf_flwr.session.deadlines import Clock
from huscf_flwr.session.exchange import Exchange, Parcel


@dataclass(frozen=True)
class ClientTimes:
    """Seconds of one client in one round."""

    compute_s: float
    """Its own computation."""
    exchange_s: float
    """In which its host had nothing to do but to exchange frames, waiting at the server included."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one client in a step, the mean of a round; waiting for others is in neither."""

    compute_s: float
    transfer_s: float
    """Up and down together."""


class HostTimer:
    """Times the clients of a host.

    They share its channel: the time of the host in an exchange is that of each of its clients.
    """

    def __init__(self, clock: Clock = time.perf_counter, settle: Callable[[], None] = lambda: None) -> None:
        """Time by ``clock``; ``settle`` waits for a device that is told what to compute and goes on alone."""
        self._clock = clock
        self._settle = settle
        self._compute_s: defaultdict[int, float] = defaultdict(float)
        self._exchange_s = 0.0

    @contextmanager
    def computing(self, client: int) -> Iterator[None]:
        """Time a part of the computation of ``client``."""
        started = self._clock()
        yield
        self._settle()
        self._computed(client, self._clock() - started)

    def send(self, channel: Channel, exchange: Exchange, client: int, parcel: Parcel) -> None:
        """Send over ``channel``, and time it."""
        with self._exchanging():
            channel.send(exchange, client, parcel)

    def receive(self, channel: Channel, exchange: Exchange) -> tuple[int, Parcel]:
        """Receive over ``channel``, and time it."""
        with self._exchanging():
            return channel.receive(exchange)

    def times(self) -> Mapping[int, ClientTimes]:
        """Return the times of every client so far."""
        return {client: ClientTimes(seconds, self._exchange_s) for client, seconds in self._compute_s.items()}

    @contextmanager
    def _exchanging(self) -> Iterator[None]:
        started = self._clock()
        yield
        self._exchange_s += self._clock() - started

    def _computed(self, client: int, seconds: float) -> None:
        self._compute_s[client] += seconds
