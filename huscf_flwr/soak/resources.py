"""What a soaking server has hold of, and whether it grows."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

RESOURCES = ("megabytes", "descriptors", "threads")
"""Names of what is measured."""

_GROWTH = 1.1
_SPARE_MEGABYTES = 32.0
_SPARE_DESCRIPTORS = 4


@dataclass(frozen=True)
class Resources:
    """What this process has hold of."""

    megabytes: float
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Resources:
        """Read them; Linux only."""
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only their number counts
            threading.active_count(),
        )


def early_and_late(resources: Sequence[Resources]) -> tuple[Sequence[Resources], Sequence[Resources]] | None:
    """Return the second quarter and the last, since the first warms up; None if there are too few."""
    quarter = len(resources) // 4
    return (resources[quarter : 2 * quarter], resources[-quarter:]) if quarter else None


def grown(resources: Sequence[Resources]) -> list[str]:
    """Return what grew from the second quarter of the rounds to the last."""
    parts = early_and_late(resources)
    if parts is None:
        return []
    found = []
    memory = [median(each.megabytes for each in part) for part in parts]
    if memory[1] > _GROWTH * memory[0] + _SPARE_MEGABYTES:
        found.append(f"memory grew from {memory[0]:.0f} to {memory[1]:.0f} MB")
    for name in ("descriptors", "threads"):
        before, after = (median(getattr(each, name) for each in part) for part in parts)
        if after > before + _SPARE_DESCRIPTORS:
            found.append(f"{name} grew from {before:g} to {after:g}")
    return found
