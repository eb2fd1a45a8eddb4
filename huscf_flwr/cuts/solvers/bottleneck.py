"""The proven optimum of one part of the cut, whatever the number of movable blocks.

One part decides two stages (see ``latency``), each the maximum over the clients of a time c(d) plus the
server's time for the blocks that clients left to it; the sum of the two is to be as small as possible.

Given a limit on each stage, the following finds an assignment within both, or shows that there is none.
Assume that nobody leaves a block to the server, and let every client keep as many blocks as the limits
allow. That leaves some blocks to the server after all, so its times grow and fewer depths fit; repeat
until nothing changes. Every assignment within the limits leaves at least as many blocks as any of these
guesses (by induction: the guess makes the server look faster than it is, so no client could keep more),
so the last guess, if there is one, leaves the fewest, and a client without a depth that fits proves that
there is none. All clients of a class do the same, so classes can stand for their clients.

A branch and bound over the two limits does the rest. Each node is a rectangle of limits; the guess at its
upper corner bounds the server's times from below, and with them both stages.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np

from huscf_flwr.cuts.costs import Floats
from huscf_flwr.cuts.latency import Integers
from huscf_flwr.cuts.limits import Booleans
from huscf_flwr.cuts.part_times import PartTimes

_TOLERANCE = 1e-10
"""Relative difference of two latencies that are taken as equal."""

_UNBOUNDED = float(np.finfo(np.float64).max)
"""Finite, so that a depth that is not allowed, which takes for ever, does not fit under it."""


@dataclass(frozen=True)
class PartOptimum:
    """Best depths of one part."""

    depths: Integers
    """[classes], from zero."""
    seconds: float
    """Both stages together."""
    bound_s: float
    """Proven lower bound."""


@dataclass(frozen=True)
class _Guess:
    """The assignment that leaves the fewest blocks to the server under some limits."""

    depths: Integers
    left: Integers
    """[movable blocks]: clients that leave each to the server."""
    achieved: Floats
    """[2]: the stages of this assignment."""
    least: Floats
    """[2]: lower bound of the stages of all assignments within the limits."""


@dataclass
class _Node:
    lower: Floats
    upper: Floats
    left: Integers

    @property
    def bound(self) -> float:
        return float(self.lower.sum())


def best_depths(times: PartTimes, sizes: Integers, allowed: Booleans) -> PartOptimum:
    """Return the depths of one part that make its two stages shortest.

    Args:
        times: of the part, one row for each class.
        sizes: [classes], number of clients in each.
        allowed: [classes, depths]; every class has at least one depth.
    """
    return _Search(times, sizes, allowed).run()


class _Search:
    def __init__(self, times: PartTimes, sizes: Integers, allowed: Booleans) -> None:
        self.client_s = np.where(allowed, times.client_s(), np.inf)
        self.server_s = times.server_s
        self.sizes = sizes
        self.best: _Guess | None = None

    @property
    def best_s(self) -> float:
        return float(self.best.achieved.sum()) if self.best is not None else float("inf")

    def run(self) -> PartOptimum:
        """Explore the rectangle with the smallest bound until none can hold a better assignment."""
        ticket = count()
        nobody = np.zeros(self.server_s.shape[1], dtype=np.int64)
        heap: list[tuple[float, int, _Node]] = []
        pending = [_Node(np.zeros(2), np.full(2, _UNBOUNDED), nobody)]
        while True:
            for node in pending:
                if self._tighten(node):
                    heapq.heappush(heap, (node.bound, next(ticket), node))
            if not heap or not self._promising(heap[0][0]):
                break
            pending = _halves(heapq.heappop(heap)[2])
        assert self.best is not None
        bound = min(self.best_s, heap[0][0]) if heap else self.best_s
        return PartOptimum(self.best.depths, self.best_s, bound)

    def _promising(self, bound: float) -> bool:
        return bound < self.best_s * (1 - _TOLERANCE)

    def _tighten(self, node: _Node) -> bool:
        """Shrink the rectangle as far as its guess allows; return whether it may hold a better one."""
        while self._promising(node.bound):
            node.upper = np.minimum(node.upper, self.best_s - node.lower[::-1])
            guess = self._guess(node.upper, node.left)
            if guess is None:
                return False
            if guess.achieved.sum() < self.best_s:
                self.best = guess
            node.left = guess.left
            if (guess.least <= node.lower).all():
                return self._promising(node.bound)
            node.lower = np.maximum(node.lower, guess.least)
        return False

    def _guess(self, limits: Floats, left: Integers) -> _Guess | None:
        """Return the guess under ``limits`` [2]; at least ``left`` clients are known to leave each block."""
        classes, depths = self.client_s.shape[1:]
        blocks = np.arange(1, depths)
        while True:
            seconds = self.client_s + self._server_wait(left)[:, None, :]
            fits: Booleans = np.all(seconds <= limits[:, None, None], axis=0)
            if not fits.any(axis=1).all():
                return None
            deepest = depths - 1 - fits[:, ::-1].argmax(axis=1)
            leaving = self.sizes @ (deepest[:, None] < blocks)
            if (leaving <= left).all():
                break
            left = np.maximum(left, leaving)
        least = np.where(fits, seconds, np.inf).min(axis=2).max(axis=1)
        achieved = seconds[:, np.arange(classes), deepest].max(axis=1)
        return _Guess(deepest, left, achieved, least)

    def _server_wait(self, left: Integers) -> Floats:
        """Return [2, depths]: the server's time between a client's edge at a depth and the middle."""
        own = self.server_s * left
        beyond = np.cumsum(own[:, ::-1], axis=1)[:, ::-1]
        return np.concatenate([beyond, np.zeros((2, 1))], axis=1)


def _halves(node: _Node) -> list[_Node]:
    """Split the wider side; all stages up to the split are in the first half, all above it in the second."""
    wider = int((node.upper - node.lower).argmax())
    split = (node.upper[wider] + node.lower[wider]) / 2
    first = _Node(node.lower.copy(), node.upper.copy(), node.left)
    second = _Node(node.lower.copy(), node.upper.copy(), node.left)
    first.upper[wider] = split
    second.lower[wider] = split
    return [first, second]
