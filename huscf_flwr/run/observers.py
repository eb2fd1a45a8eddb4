"""Observers of a run: checkpoints, display, log and TensorBoard."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huscf_flwr.run.checkpoint import save_checkpoint
from huscf_flwr.run.display import Display, evaluation_line, round_line
from huscf_flwr.run.rounds import Rounds
from huscf_flwr.run.tensorboard import TensorBoard

_LOGGER = logging.getLogger("huscf_flwr.run")
_PROGRESS_SECONDS = 0.5


class Observer:
    """Called as a run goes on; a subclass overrides the calls that it needs."""

    def begin(self, rounds: Rounds, folder: Path) -> None:
        """The run's folder is there, and its method as it was if it is resumed."""

    def progress(self, number: int, done: int, total: int) -> None:
        """``done`` of ``total`` steps, or clients, of round ``number`` are done; called twice a second."""

    def note(self, text: str, client: int | None = None, *, is_warning: bool = False) -> None:
        """Something worth a line happened, perhaps to a client."""

    def round(self, line: Mapping[str, Any], rounds: Rounds) -> None:
        """A round is over; ``line`` is that of ``metrics.jsonl``."""

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Clients have evaluated models of their own; ``line`` is that of ``evaluations.jsonl``."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """The run is over; ``summary`` is ``summary.json``."""


class Checkpoints(Observer):
    """Writes a checkpoint after each round."""

    def begin(self, rounds: Rounds, folder: Path) -> None:  # noqa: ARG002 - it is written after a round
        """Take note of the folder."""
        self._folder = folder

    def round(self, line: Mapping[str, Any], rounds: Rounds) -> None:  # noqa: ARG002 - of the state
        """Write the state of server and method."""
        save_checkpoint(rounds, self._folder)


class Shown(Observer):
    """Shows the run on a display."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def progress(self, number: int, done: int, total: int) -> None:
        """Move the bar."""
        self._display.step(number, done, total)

    def note(self, text: str, client: int | None = None, *, is_warning: bool = False) -> None:  # noqa: ARG002
        """Show a line."""
        self._display.note(text)

    def round(self, line: Mapping[str, Any], rounds: Rounds) -> None:
        """Show the round's line."""
        self._display.round(line, rounds.method.rounds(rounds.config))

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Show the means."""
        self._display.evaluation(line)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Show the table."""
        self._display.end(summary)


class Logged(Observer):
    """Writes the run's log."""

    def begin(self, rounds: Rounds, folder: Path) -> None:  # noqa: ARG002 - the log has found its own place
        """Log what begins."""
        config, clients = rounds.config, rounds.method.clients
        _LOGGER.info(
            "begins: method %s, mode %s, seed %s, %s clients",
            *(config.method, config.mode, config.seed, len(clients)),
        )

    def note(self, text: str, client: int | None = None, *, is_warning: bool = False) -> None:
        """Log a line."""
        level = logging.WARNING if is_warning else logging.INFO
        _LOGGER.log(level, "%s", text, extra={} if client is None else {"client": client})

    def round(self, line: Mapping[str, Any], rounds: Rounds) -> None:
        """Log the round's line."""
        _LOGGER.info("%s", round_line(line, rounds.method.rounds(rounds.config)))

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Log the means."""
        _LOGGER.info("%s", evaluation_line(line))

    def end(self, summary: Mapping[str, Any]) -> None:
        """Log how long it took."""
        _LOGGER.info("finished after %.1f s", summary["seconds"])


class EventFiles(Observer):
    """Writes TensorBoard's event files."""

    def begin(self, rounds: Rounds, folder: Path) -> None:  # noqa: ARG002 - it reads the folder
        """Write what the folder already has."""
        self._board = TensorBoard(folder)

    def round(self, line: Mapping[str, Any], rounds: Rounds) -> None:  # noqa: ARG002 - the line has all
        """Write the round's curves and pictures."""
        self._board.round(line)

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Write the means and the worst."""
        self._board.evaluation(line)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write the thorough scores."""
        self._board.end(summary)


class Pace:
    """Lets progress through twice a second, and when all is done."""

    def __init__(self) -> None:
        self._last = 0.0

    def is_due(self, done: int, total: int) -> bool:
        """Return whether this progress should be reported."""
        now = time.monotonic()
        if done < total and now - self._last < _PROGRESS_SECONDS:
            return False
        self._last = now
        return True
