"""Errors as a command shows them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError

import typer

from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.interruption import InsistedError, InterruptedRunError, command_to_resume


class Kept:
    """What an error leaves to go on from."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._since = 0.0

    def watch(self, folder: Path) -> None:
        """Take note that a run begins, which writes into ``folder`` from now on."""
        self._folder, self._since = folder, time.time()

    @property
    def folder(self) -> Path | None:
        """The folder of the run, if it has begun and a round of it is kept."""
        config = None if self._folder is None else self._folder / "config.yaml"
        if config is None or not config.is_file() or config.stat().st_mtime < self._since:
            return None
        return self._folder if self._folder is not None and last_round(self._folder) is not None else None


@contextmanager
def errors_as_messages(command: Sequence[str] = (), options: Sequence[str] = ()) -> Iterator[Kept]:
    """Show errors that a user can act on as a message, without a traceback, and exit with code 2.

    A run that was stopped, at once or not, exits as shells report a process that a signal ended. How to go on
    with it, or with one that has failed and whose folder is watched, by the same ``command``, a configuration
    and ``options`` is a line of its own.
    """
    kept = Kept()
    try:
        yield kept
    except typer.Exit:
        # It is a RuntimeError, though nothing went wrong in it.
        raise
    except InterruptedRunError as stopped:
        typer.echo(str(stopped), err=True)
        if command and stopped.resumable is not None:
            _say_how_to_go_on(stopped.resumable, command, options)
        raise typer.Exit(stopped.exit_code) from stopped
    except InsistedError as insisted:
        typer.echo(str(insisted), err=True)
        if command and kept.folder is not None:
            _say_how_to_go_on(kept.folder, command, options)
        raise typer.Exit(insisted.exit_code) from insisted
    except (ValueError, RuntimeError, OSError, ArithmeticError, SubprocessError) as error:
        typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(str(error) or type(error).__name__, err=True)
        if command and kept.folder is not None:
            _say_how_to_go_on(kept.folder, command, options)
        raise typer.Exit(2) from error


def _say_how_to_go_on(folder: Path, command: Sequence[str], options: Sequence[str]) -> None:
    typer.echo(f"to go on:\n{command_to_resume(folder, command, options)}", err=True)
