"""How far slow reading is, told to whoever wants to show it; nobody, unless somebody says so.

Images are read below everything that has a terminal or a log, at the end of many calls that have nothing to
do with either. So the one who shows wraps the outermost of them in ``with progress_told(Paced(show)): ...``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

Listener = Callable[[str, int, int | None], None]
"""Told what is going on, how many are done, and how many there are if that is known."""

_LISTENER: ContextVar[Listener | None] = ContextVar("huscf_flwr_progress", default=None)


class Paced:
    """Turns progress into lines: the first one only if it takes some seconds, then one every few.

    What is done in many small parts, each of them quick, takes long too: a line is due when there has been
    none for so long, whatever it is about. None is of a part where nothing is done yet, or all at once: that
    says nothing.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        *,
        patience: float = 3.0,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Tell nothing for ``patience`` seconds of ``clock``, then a line ``every`` so many seconds."""
        self._tell = tell
        self._patience = patience
        self._every = every
        self._clock = clock
        self._what = ""
        self._last = -math.inf
        self._began = 0.0
        self._due = 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Tell how far it is, if it is time to."""
        now = self._clock()
        if what != self._what and now - self._last > self._patience:
            # Nothing has been counted for a while: whoever looks has waited for nothing yet.
            self._due = now + self._patience
        if what != self._what or done == 0:
            self._began = now
        self._what, self._last = what, now
        is_done_quickly = done == total and now - self._began < self._patience
        if now < self._due or done == 0 or is_done_quickly:
            return
        self._due = now + self._every
        self._tell(f"{what}: {done:,}" + (f" of {total:,}" if total is not None else ""))


@contextmanager
def progress_told(listener: Listener) -> Iterator[None]:
    """Let ``listener`` know how far reading is, in this thread, while the block lasts."""
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


def counted(items: Iterable[Item], total: int | None, what: str, each: int = 1) -> Iterator[Item]:
    """Yield all items, and tell the listener, if there is one, how many are done.

    Args:
        items: what is worked on.
        total: how many there are, if that is known.
        what: is being done, as in ``reading DIR``.
        each: how many an item counts for.
    """
    listener = _LISTENER.get()
    if listener is None:
        yield from items
        return
    done = 0
    for item in items:
        listener(what, done, total)
        yield item
        done += each
    listener(what, done if total is None else min(done, total), total)
