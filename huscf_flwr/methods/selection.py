"""Which clients take part in a round."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from numpy.random import Generator


def selected(
    available: Sequence[int], *, fraction: float, least: int, stream: Generator, of: Collection[int]
) -> tuple[int, ...]:
    """Return a share of the clients that are ``available``, ascending; it does not depend on their order.

    All clients that there are, those ``of`` the run, are brought into a random order, and the first that are
    available are taken: who is away changes as little as possible for the others. They are as many as
    Flower's strategies take: ``fraction`` of the available ones, rounded down, and at least ``least``.
    """
    order = stream.permutation(sorted(of)).tolist()
    there = set(available)
    count = round_size(len(there), fraction=fraction, least=least)
    return tuple(sorted([client for client in order if client in there][:count]))


def round_size(available: int, *, fraction: float, least: int) -> int:
    """Return how many of the ``available`` clients are taken: a share, rounded down, at least ``least``."""
    return min(available, max(int(fraction * available), least))
