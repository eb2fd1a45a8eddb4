"""What crosses in a round, kept: just what a server that follows the protocol sees of each client."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from huscf_flwr.methods.contract import Order, Orders, Parts, State, Upload
from huscf_flwr.run.rounds import OpenRound
from huscf_flwr.session import Direction, Exchange, Frame

ChooseSteps = Callable[[int], Collection[int]]
"""Returns which steps to keep, from one, of a round with so many."""

ChooseClients = Callable[[Orders], Collection[int]]
"""Returns the clients whose transcripts to keep, of those that have orders."""


@dataclass
class Transcript:
    """All that crossed between the server and one client in one round."""

    client: int
    round: int
    order: Order
    """What the client was told, with what it has in common with others."""
    frames: dict[int, dict[tuple[str, Direction], Frame]] = field(default_factory=dict)
    """Of steps that were kept: what crossed, by name of the exchange and direction."""
    throughout: dict[tuple[str, Direction], list[Frame]] = field(default_factory=dict)
    """Of every step: what is kept throughout a round, in the order of the steps."""
    upload: Upload | None = None
    """As the server has read it; None if the client dropped out."""


class TranscriptRecorder:
    """Keeps the transcripts of the last round that it saw.

    Each client is on one host, and only that host tells of it: hosts need not wait for each other.
    """

    def __init__(
        self,
        choose_steps: ChooseSteps,
        choose_clients: ChooseClients = lambda orders: tuple(orders.clients),
        throughout: Collection[tuple[str, Direction]] = (),
        *,
        keep_uploads: bool = False,
    ) -> None:
        """Keep all that crosses in chosen steps, and in every step what crosses ``throughout``: little.

        With ``keep_uploads``, keep what every client sent at the end of the round, chosen or not.
        """
        self._choose_steps, self._choose_clients = choose_steps, choose_clients
        self._throughout = frozenset(throughout)
        self._chosen: Collection[int] = ()
        self._steps: dict[int, int] = {}
        self.transcripts: dict[int, Transcript] = {}
        """By client id."""
        self._keep_uploads = keep_uploads
        self.uploads: dict[int, Upload] = {}
        """What all clients sent at the end of the round, by client id; empty unless it is kept."""
        self.before = State({}, {})
        """The server's half of the method as it was when the round began."""

    def begin(self, opened: OpenRound) -> None:
        """Begin a round; what was kept of the one before is forgotten."""
        self._chosen = frozenset(self._choose_steps(opened.steps))
        self.before = opened.before
        clients = self._choose_clients(opened.orders)
        self._steps = dict.fromkeys(clients, 0)
        self.uploads = {}
        self.transcripts = {
            client: Transcript(client, opened.number, _order_copied(opened.orders.of(client)))
            for client in clients
        }

    def crossed(self, exchange: Exchange, direction: Direction, client: int, frame: Frame) -> None:
        """Keep what crossed, if it is of a client and of a step to be kept."""
        if client not in self.transcripts:
            return
        if exchange.number == 1 and direction == "up":
            self._steps[client] += 1
        step, what = self._steps[client], (exchange.name, direction)
        if step not in self._chosen and what not in self._throughout:
            return
        copied = tuple(tensor.detach().cpu().clone() for tensor in frame)
        transcript = self.transcripts[client]
        if step in self._chosen:
            transcript.frames.setdefault(step, {})[what] = copied
        if what in self._throughout:
            transcript.throughout.setdefault(what, []).append(copied)

    def end(self, uploads: Mapping[int, Upload]) -> None:
        """Keep what clients sent at the end of the round."""
        kept = {
            client: replace(upload, tensors=_copied(upload.tensors))
            for client, upload in uploads.items()
            if self._keep_uploads or client in self.transcripts
        }
        for client, transcript in self.transcripts.items():
            transcript.upload = kept.get(client)
        self.uploads = kept if self._keep_uploads else {}


def _order_copied(order: Order) -> Order:
    return replace(order, tensors=_copied(order.tensors))


def _copied(parts: Parts) -> Parts:
    return {
        kind: {name: tensor.detach().clone() for name, tensor in tensors.items()}
        for kind, tensors in parts.items()
    }
