"""The structured log of a run: what the program has to say, one JSON object a line, in the run's folder.

Code logs with Python's ``logging``, as everywhere; a line about one client says so with
``extra={"client": client}``, as for a client that drops out and why. What is said before the run's folder is
there waits in memory.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from huscf_flwr.run.interruption import InterruptedRunError
from huscf_flwr.run.mistakes import told

LOG_NAME = "log.jsonl"
LOGGERS = ("huscf_flwr", "flwr.huscf")
"""The library's, and the Flower app's, which Flower's own log shows too."""

_LOGGER = logging.getLogger(__name__)
_ENDS = "the run ends: "


class RunLog(logging.Handler):
    """Writes the lines of one run while its ``with`` block lasts; an exception that ends it is the last.

    An interruption is no error, and has no traceback.

    Attributes:
        round: the round that lines belong to from now on, None before the first.
    """

    def __init__(self, run: str) -> None:
        """``run`` is the name that every line bears."""
        super().__init__(logging.INFO)
        self.round: int | None = None
        self._run = run
        self._early: list[str] = []
        self._file: TextIO | None = None
        self._levels: dict[str, int] = {}

    def __enter__(self) -> RunLog:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            if logger.getEffectiveLevel() > self.level:
                logger.setLevel(self.level)
            logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InterruptedRunError | KeyboardInterrupt):
            _LOGGER.warning("%s%s", _ENDS, str(error) or "interrupted")
        elif error is not None:
            _LOGGER.error("%s%s", _ENDS, told(error), exc_info=error)
        for name, level in self._levels.items():
            logging.getLogger(name).removeHandler(self)
            logging.getLogger(name).setLevel(level)
        self.close()

    def write_to(self, folder: Path) -> None:
        """Add all lines, those of before too, to the log in the run's ``folder``."""
        self.acquire()
        try:
            self._file = (folder / LOG_NAME).open("a", encoding="utf-8")
            self._file.writelines(self._early)
            self._file.flush()
            self._early = []
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; called by ``logging``, which holds the lock."""
        try:
            line = json.dumps(self._fields(record)) + "\n"
            if self._file is None:
                self._early.append(line)
            else:
                self._file.write(line)
                self._file.flush()
        except Exception:  # a full disk must not stop the training
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "run": self._run,
            "round": self.round,
        }
        client = getattr(record, "client", None)
        if client is not None:
            fields["client"] = client
        fields["message"] = record.getMessage()
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        return fields


def log_length(folder: Path) -> int:
    """Return how long the log in a run's ``folder`` is, in bytes: a run that is resumed there adds to it."""
    log = folder / LOG_NAME
    return log.stat().st_size if log.is_file() else 0


def new_warnings(folder: Path, position: int) -> tuple[list[str], int]:
    """Return what the log in a run's ``folder`` warns of, and up to where it has been read.

    Args:
        folder: of the run.
        position: up to where it was read before, in bytes; what is half written is read when it is whole.
    """
    log = folder / LOG_NAME
    if not log.is_file():
        return [], position
    with log.open("rb") as file:
        file.seek(position)
        whole, newline, _ = file.read().rpartition(b"\n")
    found = []
    for text in whole.splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # of a process that was killed while it wrote
            continue
        if line["level"] == "WARNING":
            found.append(str(line["message"]))
    return found, position + len(whole) + len(newline)


def why_ended(folder: Path) -> str:
    """Return why the run in ``folder`` failed, if that is the last thing that its log says; else nothing."""
    log = folder / LOG_NAME
    lines = log.read_text("utf-8").splitlines() if log.is_file() else []
    try:
        last = json.loads(lines[-1]) if lines else {}
    except ValueError:  # half written
        last = {}
    said = str(last.get("message", ""))
    is_failure = last.get("level") == "ERROR" and said.startswith(_ENDS)
    return said.removeprefix(_ENDS) if is_failure else ""
