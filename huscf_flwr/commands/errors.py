"""Errors as a command shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from subprocess import SubprocessError

import typer

from huscf_flwr.run.interruption import InterruptedRunError, command_to_resume


@contextmanager
def errors_as_messages(command: Sequence[str] = (), options: Sequence[str] = ()) -> Iterator[None]:
    """Show errors that a user can act on as a message, without a traceback, and exit with code 2.

    A run that was stopped exits as shells report a process that a signal ended; how to go on with it by the
    same ``command``, a configuration and ``options`` is a line of its own.
    """
    try:
        yield
    except InterruptedRunError as stopped:
        typer.echo(str(stopped), err=True)
        if command and stopped.resumable is not None:
            typer.echo(f"to go on:\n{command_to_resume(stopped.resumable, command, options)}", err=True)
        raise typer.Exit(stopped.exit_code) from stopped
    except (ValueError, RuntimeError, OSError, ArithmeticError, SubprocessError) as error:
        typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(str(error) or type(error).__name__, err=True)
        raise typer.Exit(2) from error
