"""A host's way to the executor, and the one of a host that is in the executor's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from huscf_flwr.session.exchange import DIRECTIONS, Direction, DropOut, Exchange, Frame, Parcel
from huscf_flwr.session.lockstep import LockStep
from huscf_flwr.session.wire_end import WireEnd

Tap = Callable[[Exchange, Direction, int, Frame], None]
"""Called with every frame of a client that crosses, as it crosses."""


class Channel(Protocol):
    """A host's way to the executor.

    A client that drops out is sent up as such once, and not again; one that the executor gives up comes down
    as such. Once all of a host's clients have sent theirs in an exchange, one answer is received for each;
    those that have theirs may send in the next exchange while the others' are still on their way.
    """

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of a step, in their order."""
        ...

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:
        """Send up one client's tensors, which must not change before the answer has come."""
        ...

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client that has its answer, and the answer."""
        ...


class LocalChannel:
    """The channel of a host in the executor's own process.

    Nothing is copied; where the session has a wire type, numbers are rounded or packed as if they had crossed
    in it.
    """

    def __init__(self, session: LockStep, host: int = 0, tap: Tap | None = None) -> None:
        self._session = session
        self._host = host
        self._tap = tap
        self._ends = {way: WireEnd(session.wire, session.exchanges, way) for way in DIRECTIONS}
        self._up: dict[int, Parcel] = {}
        self._down: dict[int, Parcel] = {}

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of a step, in their order."""
        return self._session.exchanges

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:
        """Keep it until the others' are there: they go up together."""
        self._up[client] = self._crossed(exchange, "up", client, parcel)

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client's answer; the first is waited for."""
        if not self._down:
            up, self._up = self._up, {}
            self._down = dict(self._session.exchange(self._host, exchange, up))
        client = next(iter(self._down))
        return client, self._crossed(exchange, "down", client, self._down.pop(client))

    def _crossed(self, exchange: Exchange, direction: Direction, client: int, parcel: Parcel) -> Parcel:
        if isinstance(parcel, DropOut):
            return parcel
        frame = self._ends[direction].crossed(exchange, client, parcel)
        if self._tap is not None:
            self._tap(exchange, direction, client, frame)
        return frame
