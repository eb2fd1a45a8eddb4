"""Who takes part in a round: the clients of each host, who has dropped out, and whether enough are left.

A client that fails *drops out*, and the others go on without it. A session fails only if something fails that
all of them need, or if too few are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class SessionError(RuntimeError):
    """The session cannot go on, for this host or for all."""


class TooFewClientsError(SessionError):
    """So many clients dropped out that the round is worth nothing."""


@dataclass(frozen=True)
class DroppedClient:
    """When and why a client dropped out of a session."""

    step: int | None
    """From one; None where a session has no steps, or all are done."""
    exchange: str | None
    """Name of the first exchange in which it had no part; None where there is none."""
    reason: str


OnDropOut = Callable[[int, DroppedClient], None]
"""Called with every client that drops out."""


class Attendance:
    """The clients of each host, those that have dropped out, and why the session ended early, if it did.

    It has no lock: a session holds its own while it calls.
    """

    def __init__(self, hosts: Sequence[Sequence[int]], *, min_clients: int, on_drop_out: OnDropOut) -> None:
        """Expect the clients of all ``hosts``; with fewer than ``min_clients`` the session fails."""
        self.hosts = tuple(tuple(clients) for clients in hosts)
        self._min_clients = min_clients
        self._on_drop_out = on_drop_out
        self._present = {client for clients in self.hosts for client in clients}
        self.dropped: dict[int, DroppedClient] = {}
        """The clients that dropped out so far."""
        self.failure: BaseException | None = None
        """What ended the session early, if anything did."""

    def __contains__(self, client: int) -> bool:
        """Whether ``client`` takes part and has not dropped out."""
        return client in self._present

    def of(self, host: int) -> tuple[int, ...]:
        """Return the clients of ``host`` that have not dropped out."""
        return tuple(client for client in self.hosts[host] if client in self._present)

    def everybody(self) -> frozenset[int]:
        """Return the clients that have not dropped out."""
        return frozenset(self._present)

    def drop(self, client: int, dropped: DroppedClient, *, finished: bool) -> bool:
        """Let ``client`` drop out; return whether it had a part until now.

        With fewer than ``min_clients`` left the session fails, unless it is ``finished`` already. Once it has
        failed, hosts that leave it do not make their clients drop out.
        """
        if client not in self._present or self.failure is not None:
            return False
        self._present.discard(client)
        self.dropped[client] = dropped
        self._on_drop_out(client, dropped)
        if len(self._present) < self._min_clients and not finished:
            self.fail(
                TooFewClientsError(
                    f"{len(self._present)} clients are left, fewer than min_clients = {self._min_clients}; "
                    f"the last to drop out was client {client}: {dropped.reason}"
                )
            )
        return True

    def fail(self, reason: BaseException) -> None:
        """End the session because of ``reason``; the first reason given stays."""
        self.failure = self.failure or reason
