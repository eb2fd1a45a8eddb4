"""Errors as a command shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import SubprocessError

import typer

from huscf_flwr.run.interruption import InterruptedRunError


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Show errors that a user can act on as a message, without a traceback, and exit with code 2.

    A run that was stopped exits as shells report a process that a signal ended.
    """
    try:
        yield
    except InterruptedRunError as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(stopped.exit_code) from stopped
    except (ValueError, RuntimeError, OSError, ArithmeticError, SubprocessError) as error:
        typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(str(error) or type(error).__name__, err=True)
        raise typer.Exit(2) from error
