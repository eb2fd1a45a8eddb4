"""How much memory this process has had."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Return the most memory that this process held at once.

    On Linux ``getrusage`` would not do: a process that was started by a larger one has its peak.
    """
    if _STATUS.is_file():
        (kilobytes,) = (line.split()[1] for line in _STATUS.read_text().splitlines() if "VmHWM" in line)
        return 1024 * int(kilobytes)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
