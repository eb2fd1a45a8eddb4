"""Packets that are taken off a stream before they are asked for.

A host works on its first answer, and sends what comes of it, while the server is still sending it the others.
A host that sends answers does not read meanwhile, and what arrives would stop at its door: both directions of
the network are in use only if another thread reads.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Packet = TypeVar("Packet")


def read_ahead(incoming: Iterator[Packet], most: int) -> Generator[Packet]:
    """Yield what ``incoming`` does, with up to ``most`` packets taken from it beforehand.

    Raises what ``incoming`` raises, in its turn. A generator that is closed takes at most one more.
    """
    taken: queue.SimpleQueue[Packet | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(most)
    closed = threading.Event()

    def take() -> None:
        try:
            while room.acquire() and not closed.is_set():
                taken.put(next(incoming))
        except StopIteration:
            taken.put(None)
        except BaseException as error:
            taken.put(error)

    threading.Thread(target=take, name="split-read-ahead", daemon=True).start()
    try:
        while (packet := taken.get()) is not None:
            if isinstance(packet, BaseException):
                raise packet
            room.release()
            yield packet
    finally:
        closed.set()
        room.release()
