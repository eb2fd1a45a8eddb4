"""The ledger: everything that crosses between clients and server passes through it and is counted.

It answers two questions with one record: how much traffic there was, and whether anything crossed that
should not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from huscf_flwr.session.exchange import Direction, Exchange, Frame
from huscf_flwr.session.wire_type import WireType

_AS_COMPUTED = WireType()


@dataclass
class Ledger:
    """Bytes by client, direction and kind of tensor."""

    entries: Counter[tuple[int, Direction, str]] = field(default_factory=Counter)

    def record(self, client: int, direction: Direction, kind: str, byte_count: int) -> None:
        """Count ``byte_count`` bytes of ``kind`` that ``client`` sent up or was sent down."""
        self.entries[client, direction, kind] += byte_count

    def record_frame(
        self,
        client: int,
        exchange: Exchange,
        direction: Direction,
        frame: Frame,
        wire: WireType = _AS_COMPUTED,
    ) -> None:
        """Count the tensors of one frame, as the bytes that they take on the wire."""
        for kind, tensor in zip(exchange.kinds(direction), frame, strict=True):
            self.record(client, direction, kind.name, wire.byte_count(kind, tensor))

    def total(
        self, *, client: int | None = None, direction: Direction | None = None, kind: str | None = None
    ) -> int:
        """Return the bytes of all entries that match what is given."""
        return sum(
            count
            for (who, way, what), count in self.entries.items()
            if client in (None, who) and direction in (None, way) and kind in (None, what)
        )

    def by_kind(self, direction: Direction) -> Mapping[str, int]:
        """Return the bytes of each kind that crossed in ``direction``, all clients together."""
        kinds: Counter[str] = Counter()
        for (_, way, kind), count in self.entries.items():
            if way == direction:
                kinds[kind] += count
        return dict(sorted(kinds.items()))

    def by_client(self, direction: Direction) -> Mapping[int, int]:
        """Return the bytes that each client sent up or was sent down, all kinds together."""
        clients: Counter[int] = Counter()
        for (client, way, _), count in self.entries.items():
            if way == direction:
                clients[client] += count
        return dict(sorted(clients.items()))
