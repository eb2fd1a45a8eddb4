"""Who gets what: batches of fakes in a step, and discriminators in a swap."""

from __future__ import annotations

import math
from collections.abc import Sequence

from numpy.random import Generator


def batch_count(batches: int | str, clients: int) -> int:
    """Return k, the number of batches that the generator draws in a step for so many clients."""
    return min(clients, max(1, math.ceil(math.log(clients))) if isinstance(batches, str) else batches)


def batches_of(place: int, count: int) -> tuple[int, int]:
    """Return which of ``count`` batches a client learns from, and which it judges; all count from one.

    Client n learns from batch ((n+1) mod k) + 1 and judges batch (n mod k) + 1 (arXiv 1811.03850, section
    IV-B1).
    """
    return (place + 1) % count + 1, place % count + 1


def swapped(clients: Sequence[int], stream: Generator) -> dict[int, int]:
    """Return for each client, ascending, whose discriminator it is given: at random, and never its own.

    Each discriminator goes to one client, and all ways to do that are equally likely. In the paper every
    client sends its own to a random other one, of which nothing keeps two from choosing the same; this is
    our reading. A single client keeps what it has.
    """
    receivers = sorted(clients)
    if len(receivers) < 2:
        return {client: client for client in receivers}
    while True:
        givers = stream.permutation(receivers).tolist()
        if all(giver != receiver for giver, receiver in zip(givers, receivers, strict=True)):
            return dict(zip(receivers, givers, strict=True))
