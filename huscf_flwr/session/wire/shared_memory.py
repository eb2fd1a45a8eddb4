"""Numbers that cross by memory that both processes have, where both run on one machine.

The executor offers a host of a simulation memory for the frames of one step, one region for each direction. A
frame is copied once, into the region, and is used from there: what stays in the stream is where it lies. It
lies there until the next step begins, when it is no longer in use: a host sends the first frame of a step
only when all of its clients have worked on the last answer of the one before, and the first answer comes when
all of them have sent. So the pages are the same in every step. A step has begun where the number of
the exchange is less than that of the last frame, or where a client has a second frame in the same exchange.

The memory has no name, so nothing can be left behind by a process that is killed: the host opens it among the
executor's open files, and the kernel frees it with the last process that has it mapped. The file holds a
secret that came with the offer, so that a host on another machine, or in another container, cannot take
another file for it. Its pages are set aside before anything is written. Where any of this cannot be had,
frames go through the stream, as does a frame that finds no room.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from huscf_flwr.session.exchange import Exchange, FrameError

OFFER_KEY = "huscf-memory"
"""Key of an offer in the executor's answer to a stream."""

_LOGGER = logging.getLogger(__name__)
_ALIGNMENT = 64
_LARGEST_SHARE = 0.5
"""Of the memory that is available: what is set aside must leave some for the training."""
_OFFER = re.compile(r"(\d+):(\d+):(huscf-[0-9a-f]{32}):(\d+):(\d+)")


class Region:
    """Memory for the frames of one step in one direction."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        """Use ``size`` bytes of ``memory`` from ``start`` on."""
        self._bytes = (
            torch.frombuffer(memory, dtype=torch.uint8, count=size, offset=start)
            if size
            else torch.empty(0, dtype=torch.uint8)
        )
        self._size = size
        self._used = 0
        self._exchange = 0
        self._written: set[int] = set()

    def write(self, exchange: Exchange, client: int, tensors: Sequence[Tensor]) -> int | None:
        """Copy a client's frame in, one tensor after the other.

        Return the place of the first tensor, or None if there is no room.
        """
        self._note(exchange.number, client)
        place, sizes = self._used, [tensor.numel() * tensor.element_size() for tensor in tensors]
        if place + room_for(sizes) > self._size:
            return None
        for tensor, size in zip(tensors, sizes, strict=True):
            room = self._bytes[self._used : self._used + size]
            room.view(tensor.dtype).view(tensor.shape).copy_(tensor)
            self._used += room_for([size])
        return place

    def read(self, place: int, sizes: Sequence[int]) -> list[Tensor]:
        """Return the bytes of tensors with ``sizes`` bytes from ``place`` on: no copies.

        Raises ``FrameError`` if they are not within the region.
        """
        if place % _ALIGNMENT or place + room_for(sizes) > self._size:
            raise FrameError(f"no {sum(sizes)} bytes at {place} of {self._size} in shared memory")
        found = []
        for size in sizes:
            found.append(self._bytes[place : place + size])
            place += room_for([size])
        return found

    def _note(self, exchange: int, client: int) -> None:
        """Start again where a step begins, and note which clients' frames of which exchange are there."""
        if exchange < self._exchange or (exchange == self._exchange and client in self._written):
            self._used = 0
            self._written.clear()
        elif exchange > self._exchange:
            self._written.clear()
        self._exchange = exchange
        self._written.add(client)


class MemoryOffer:
    """The executor's end of memory that a host may map."""

    def __init__(self, up: int, down: int) -> None:
        """Set aside ``up`` and ``down`` bytes; raises ``OSError`` if they cannot be had."""
        self._name = f"huscf-{secrets.token_hex(16)}"
        self._sizes = up, down
        self._file: int | None = os.memfd_create(self._name)
        try:
            os.posix_fallocate(self._file, 0, up + down)
            self.up, self.down = _regions(self._file, up, down)
        except OSError:
            self.close()
            raise

    def __str__(self) -> str:
        return f"{os.getpid()}:{self._file}:{self._name}:{self._sizes[0]}:{self._sizes[1]}"

    def close(self) -> None:
        """Let no other process open it; those that have mapped it keep it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def offer_memory(up: Sequence[int], down: Sequence[int]) -> MemoryOffer | None:
    """Offer room for tensors of these bytes in each direction, or None where it cannot be had."""
    sizes = room_for(up), room_for(down)
    if not hasattr(os, "memfd_create") or not 0 < sum(sizes) <= _LARGEST_SHARE * _available_bytes():
        return None
    try:
        return MemoryOffer(*sizes)
    except OSError as error:
        _LOGGER.warning("no shared memory of %s bytes (%s): frames go through the stream", sum(sizes), error)
        return None


def take_memory(offer: str) -> tuple[Region, Region] | None:
    """Map what was offered, the way up and the way down, or None where it is not this machine's."""
    parsed = _OFFER.fullmatch(offer)
    if parsed is None:
        return None
    process, number, name = parsed[1], parsed[2], parsed[3]
    up, down = int(parsed[4]), int(parsed[5])
    path = Path("/proc", process, "fd", number)
    try:
        if str(path.readlink()) != f"/memfd:{name} (deleted)":
            return None
        file = os.open(path, os.O_RDWR)
        try:
            return _regions(file, up, down)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        _LOGGER.info("the executor's memory is out of reach (%s): frames go through the stream", error)
        return None


def room_for(sizes: Sequence[int]) -> int:
    """Return the bytes that tensors of ``sizes`` bytes take: each begins at a multiple of 64."""
    return sum(_ALIGNMENT * math.ceil(size / _ALIGNMENT) for size in sizes)


def _regions(file: int, up: int, down: int) -> tuple[Region, Region]:
    # Populated at once: the first step is no slower than the others.
    memory = mmap.mmap(file, up + down, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
    return Region(memory, 0, up), Region(memory, up, down)


def _available_bytes() -> int:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))
    return 1024 * int(found[1]) if found else 0
