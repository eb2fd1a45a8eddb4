"""A client's step on a CUDA device, recorded once and replayed from then on.

A client's part of a step is some hundred small operations, and to launch each takes the processor longer
than to compute it takes the device. So the first step with a batch size runs as it is written; in the second
each part between two exchanges is recorded as a CUDA graph, from the same coroutine, and from the third on
parts are replayed: one launch each. A recording has memory of its own for as long as its client lives.

Clients do not depend on each other between two exchanges, and none of them fills the device. So they are
dealt to a few *lanes*, streams on which they compute side by side.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from huscf_flwr.session.exchange import ClientStep, Computed, Frame, resumed

LANES = 16
"""Half of the streams that PyTorch has for a device; clients are recorded on the other half."""

Pool = Any
"""PyTorch's handle of a recording's memory; its type has no public name."""

Start = Callable[[Frame], ClientStep]
"""Starts a step on a batch, given as its tensors."""

_one_records = threading.Lock()


@contextmanager
def side_by_side(device: torch.device) -> Iterator[None]:
    """Let recorded steps within compute side by side, after all that came before and before all that follows.

    On a device without streams this does nothing.
    """
    if device.type != "cuda":
        yield
        return
    current = torch.cuda.current_stream(device)
    for lane in _lanes(device):
        lane.wait_stream(current)
    try:
        yield
    finally:
        for lane in _lanes(device):
            current.wait_stream(lane)


class Recorder:
    """Gives a client's steps: recorded where a batch size comes again. To be used ``side_by_side``."""

    def __init__(self, client: int, device: torch.device) -> None:
        self._lane, self._recorded_on = (
            streams[client % LANES] for streams in (_lanes(device), _aside(device))
        )
        self._seen: set[int] = set()
        self._recordings: dict[int, list[_Part]] = {}

    def step(self, start: Start, batch: Frame) -> ClientStep:
        """Return a step on ``batch``, which may be on any device, as ``start`` starts it."""
        size = len(batch[0])
        if size in self._recordings:
            return self._replay(self._recordings[size], batch)
        if size in self._seen:
            return self._record(start, batch)
        self._seen.add(size)
        return self._as_written(start(batch))

    def _as_written(self, step: ClientStep) -> ClientStep:
        received: Frame | None = None
        while True:
            with torch.cuda.stream(self._lane):
                computed = resumed(step, received)
            if computed is None:
                return
            received = yield computed

    def _record(self, start: Start, batch: Frame) -> ClientStep:
        """Record the parts of a step one by one, and replay each at once: recording computes nothing."""
        parts: list[_Part] = []
        pool = torch.cuda.graph_pool_handle()
        held = self._held(batch)
        step = start(held)
        received: Frame | None = None
        while True:
            part = _Part(*self._recorded(step, received, pool), held)
            parts.append(part)
            self._run(part)
            if part.computed is None:
                break
            held = received = self._held((yield part.computed))
        self._recordings[len(batch[0])] = parts

    def _replay(self, parts: list[_Part], batch: Frame) -> ClientStep:
        received = batch
        for part in parts:
            self._run(part, received)
            if part.computed is not None:
                received = yield part.computed

    def _held(self, given: Frame) -> Frame:
        """Return copies, in memory that the recording goes on to read."""
        with torch.cuda.stream(self._lane):
            return tuple(tensor.to(self._lane.device, copy=True) for tensor in given)

    def _recorded(
        self, step: ClientStep, received: Frame | None, pool: Pool
    ) -> tuple[torch.cuda.CUDAGraph, Computed | None]:
        graph = torch.cuda.CUDAGraph()
        with _recording(self._recorded_on):
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                computed = resumed(step, received)
            finally:
                graph.capture_end()
        return graph, computed

    def _run(self, part: _Part, received: Frame | None = None) -> None:
        with torch.cuda.stream(self._lane):
            for held, given in zip(part.held, received or (), strict=received is not None):
                held.copy_(given, non_blocking=True)
            part.graph.replay()


@dataclass(frozen=True)
class _Part:
    """What a client computes between two exchanges."""

    graph: torch.cuda.CUDAGraph
    computed: Computed | None
    """Its results, overwritten by every replay; empty after the last exchange."""
    held: Frame
    """What it computes from."""


@contextmanager
def _recording(stream: torch.cuda.Stream) -> Iterator[None]:
    """Let one thread at a time record, without garbage collection: recordings cannot be freed meanwhile."""
    with _one_records:
        collecting = gc.isenabled()
        gc.disable()
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            if collecting:
                gc.enable()


@cache
def _aside(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    """Return a stream to record on for each lane.

    A lane itself will not do, since hosts in other threads may be using it. One stream for all will not do
    either: what is recorded on one stream shares a workspace of cuBLAS, and so must not run side by side.
    """
    return _streams(device)


@cache
def _lanes(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    return _streams(device)


def _streams(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    return tuple(torch.cuda.Stream(device) for _ in range(LANES))  # type: ignore[no-untyped-call]
