"""The exchange that is due: who has come to it, what they brought, and what is for them."""

from __future__ import annotations

from huscf_flwr.session.exchange import Exchange, Frame, Frames


class Turn:
    """Goes through the exchanges of a step, again and again; each is a turn.

    It has no lock: the session holds its own while it calls.
    """

    def __init__(self, exchanges: tuple[Exchange, ...]) -> None:
        """Begin with the first exchange."""
        self.exchanges = exchanges
        self.due = exchanges[0]
        self.number = 0
        """How many turns are over."""
        self.arrived: set[int] = set()
        """Hosts that have come to this turn."""
        self.is_served = False
        """Whether the executor computes."""
        self._up: dict[int, Frame] = {}
        self._down: Frames = {}

    @property
    def is_first(self) -> bool:
        """Whether the exchange that is due begins a step."""
        return self.due.number == 1

    @property
    def is_last(self) -> bool:
        """Whether the exchange that is due ends a step."""
        return self.due.number == len(self.exchanges)

    def bring(self, client: int, frame: Frame) -> None:
        """Keep what a client has sent until everybody has come."""
        self._up[client] = frame

    def withdraw(self, client: int) -> None:
        """Forget what a client has sent, unless the executor has it already."""
        self._up.pop(client, None)

    def take(self) -> Frames:
        """Return what the clients have sent, for the executor."""
        up, self._up = self._up, {}
        return up

    def answer(self, frames: Frames) -> None:
        """Keep what is for the clients until their hosts fetch it."""
        self._down = frames

    def answer_for(self, client: int) -> Frame | None:
        """Return what is for a client, if there is anything."""
        return self._down.get(client)

    def end(self) -> None:
        """Go on to the next exchange."""
        self.due = self.exchanges[self.due.number % len(self.exchanges)]
        self.arrived = set()
        self.number += 1

    def next_unserved(self, finished_steps: int) -> tuple[int, Exchange]:
        """Return step and exchange of the first turn that the executor has not begun to serve."""
        step = finished_steps + 1
        if not self.is_served:
            return step, self.due
        return step + self.is_last, self.exchanges[self.due.number % len(self.exchanges)]
