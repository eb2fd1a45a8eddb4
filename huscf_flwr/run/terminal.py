"""The terminal, which may show less than is written, or be gone: no result depends on it."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import IO, cast

from rich.console import Console


class ForgivingOutput(io.TextIOBase):
    """The standard output, whatever it is at the time; what it cannot show is replaced, or left out.

    Characters that its encoding lacks become question marks. Once nobody reads it any more, as after
    ``| head -1``, or it cannot be written, nothing is.
    """

    def __init__(self) -> None:
        self._is_gone = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the standard output."""
        return getattr(self._output, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether somebody looks at it."""
        return not self._is_gone and self._output.isatty()

    def fileno(self) -> int:
        """Return the number of the open file."""
        return self._output.fileno()

    def write(self, text: str) -> int:
        """Write what can be written."""
        if not self._is_gone:
            try:
                self._write(text)
            except OSError:
                self._leave()
        return len(text)

    def flush(self) -> None:
        """Write what is still waiting."""
        if not self._is_gone:
            try:
                self._output.flush()
            except OSError:
                self._leave()

    @property
    def _output(self) -> IO[str]:
        # While a bar is shown, rich puts something before the standard output that comes back to us.
        return cast(IO[str], getattr(sys.stdout, "rich_proxied_file", sys.stdout))

    def _write(self, text: str) -> None:
        try:
            self._output.write(text)
        except UnicodeEncodeError:
            self._output.write(text.encode(self.encoding, "replace").decode(self.encoding))

    def _leave(self) -> None:
        """Write nothing more, not even what waits until the process ends."""
        self._is_gone = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._output.fileno())
            os.close(nowhere)


def terminal(width: int | None = None) -> Console:
    """Return a console on the standard output that never fails; ``width`` in characters, if not its own."""
    return Console(file=cast(IO[str], ForgivingOutput()), width=width)


def say(*lines: str) -> None:
    """Write lines to the standard output as they are: not wrapped, and without anything read into them."""
    for line in lines:
        terminal().out(line, highlight=False)


def wide_terminal(width: int) -> Console:
    """Return such a console; where nobody looks at it, or says how wide it is, of the given ``width``."""
    console = terminal()
    return console if console.is_terminal or "COLUMNS" in os.environ else terminal(width)
