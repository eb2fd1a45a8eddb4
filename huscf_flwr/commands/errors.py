"""Errors as a command shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError

import typer

from huscf_flwr.run.awaited import AwaitedRun, is_judged, report_of
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.interruption import InsistedError, InterruptedRunError, command_to_resume


class Kept:
    """What an error leaves to go on from."""

    def __init__(self) -> None:
        self._run: AwaitedRun | None = None

    def watch(self, folder: Path) -> None:
        """Take note that a run begins, which writes into ``folder`` from now on."""
        self._run = AwaitedRun(folder)

    @property
    def is_watching(self) -> bool:
        """Whether a run is known that may leave something."""
        return self._run is not None

    @property
    def folder(self) -> Path | None:
        """The folder of the run, if it has begun and a round of it is kept."""
        if self._run is None or not self._run.has_begun or last_round(self._run.folder) is None:
            return None
        return self._run.folder


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
        elif kept.is_watching:
            typer.echo("no round is finished yet; the same command begins again", err=True)
        raise typer.Exit(insisted.exit_code) from insisted
    except (ValueError, RuntimeError, OSError, ArithmeticError, SubprocessError) as error:
        typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(str(error) or type(error).__name__, err=True)
        if command and kept.folder is not None:
            _say_how_to_go_on(kept.folder, command, options)
        raise typer.Exit(2) from error


def _say_how_to_go_on(folder: Path, command: Sequence[str], options: Sequence[str]) -> None:
    report = report_of(folder)
    if report is not None:
        typer.echo(f"all is trained and judged; report: {report}", err=True)
        return
    how = "all is trained and judged; to judge again, for its report" if is_judged(folder) else "to go on"
    typer.echo(f"{how}:\n{command_to_resume(folder, command, options)}", err=True)
