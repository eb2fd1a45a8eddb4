"""A host's way to the executor, and the one of a host that is in the executor's own process."""

from __future__ import annotations

from typing import Protocol

from huscf_flwr.session.exchange import DropOut, Exchange, Parcel
from huscf_flwr.session.lockstep import LockStep


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

    Nothing is copied; where the session has a wire type, numbers are rounded as if they had crossed in it.
    """

    def __init__(self, session: LockStep, host: int = 0) -> None:
        self._session = session
        self._host = host
        self._up: dict[int, Parcel] = {}
        self._down: dict[int, Parcel] = {}

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of a step, in their order."""
        return self._session.exchanges

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:  # noqa: ARG002 - in receive
        """Keep it until the others' are there: they go up together."""
        self._up[client] = self._crossed(parcel)

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client's answer; the first is waited for."""
        if not self._down:
            up, self._up = self._up, {}
            self._down = dict(self._session.exchange(self._host, exchange, up))
        client = next(iter(self._down))
        return client, self._crossed(self._down.pop(client))

    def _crossed(self, parcel: Parcel) -> Parcel:
        return parcel if isinstance(parcel, DropOut) else self._session.wire.crossed(parcel)
