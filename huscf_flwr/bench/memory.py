"""How much memory this process has had."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Return how much memory this process holds now; 0 where that is not known."""
    return 1024 * _status("VmRSS") if _STATUS.is_file() else 0


def peak_bytes() -> int:
    """Return the most memory that this process held at once.

    On Linux ``getrusage`` would not do: a process that was started by a larger one has its peak.
    """
    if _STATUS.is_file():
        return 1024 * _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(name: str) -> int:
    (kilobytes,) = (line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(kilobytes)
