"""Which host has which clients."""

from __future__ import annotations

from collections.abc import Sequence


def spread(clients: Sequence[int], hosts: int) -> list[tuple[int, ...]]:
    """Deal ``clients`` to ``hosts`` in turn; raises ``ValueError`` if a host would have none."""
    if hosts > len(clients):
        raise ValueError(
            f"clients: {len(clients)} clients for {hosts} hosts; take more clients or fewer hosts"
        )
    return [tuple(clients[host::hosts]) for host in range(hosts)]
