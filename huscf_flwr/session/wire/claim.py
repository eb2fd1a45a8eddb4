"""What a stream's token is bound to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN, _CLAIM = "huscf-token", "huscf-claim"


@dataclass(frozen=True)
class StreamClaim:
    """What a token is good for: one session of one SuperNode, for these clients."""

    run: int = 0
    round: int = 0
    attempt: int = 0
    node: int = 0
    clients: tuple[int, ...] = ()

    def metadata(self, token: str) -> list[tuple[str, str]]:
        """Return the metadata of a call that presents ``token``."""
        return [(_TOKEN, token), (_CLAIM, str(self))]

    def __str__(self) -> str:
        """Return the claim as it travels."""
        clients = ",".join(map(str, self.clients))
        return f"run={self.run} round={self.round} attempt={self.attempt} node={self.node} clients={clients}"


def presented(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, str]:
    """Return the token and the claim that a call presents, empty if it has none."""
    found = dict(metadata)
    return str(found.get(_TOKEN, "")), str(found.get(_CLAIM, ""))
