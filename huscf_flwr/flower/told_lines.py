"""What a run says before its folder is there, and beside it, for whoever has started it on this machine.

A ServerApp, and in a simulation its ClientApps, are processes whose output nobody sees; their log is asked of
Flower, which takes a second. So the launcher lays out a file in its own folder, they append lines to it, and
the launcher shows these. Without a launcher there is no file, and nothing is written.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from huscf_flwr.config import RunConfig

_FILE = "told.txt"


def private_home(config: RunConfig) -> Path:
    """Return the folder of all that Flower keeps for a run that was launched on this machine."""
    return config.output / ".flower" / config.name


def tell_launcher(config: RunConfig, text: str) -> None:
    """Let whoever has launched the run show a line, if somebody has."""
    file = private_home(config) / _FILE
    # A line that is not shown must not end a run, as where the disk is full.
    with suppress(OSError):
        if file.is_file():
            with file.open("a", encoding="utf-8") as lines:
                lines.write(" ".join(text.split()) + "\n")


class ToldLines:
    """Reads the lines that a run tells its launcher."""

    def __init__(self, config: RunConfig) -> None:
        """Lay out a file without lines, if the run's folder of Flower is there."""
        self._file = private_home(config) / _FILE
        self._position = 0
        with suppress(OSError):
            if self._file.parent.is_dir():
                self._file.write_bytes(b"")

    def new(self) -> list[str]:
        """Return the whole lines that have come since the last call."""
        if not self._file.is_file():
            return []
        with self._file.open("rb") as file:
            file.seek(self._position)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._position += len(whole) + len(newline)
        return whole.decode("utf-8", "replace").splitlines()
