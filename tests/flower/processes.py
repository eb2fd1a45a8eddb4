"""The processes of a run, by whomever they were started."""

import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 300.0


def processes_of(home):
    """Command lines of all processes whose environment names the folder ``home``, or one within it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(home).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def left_of(home):
    """The processes of ``home`` that do not end by themselves, as they have been told to."""
    deadline = time.monotonic() + PATIENCE
    while (found := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
