"""Commands whose help explains their arguments, whatever version of click there is."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import click
import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo


class ExplainedCommand(TyperCommand):
    """A command that knows what is said of its arguments.

    Since click has help of its own for them, it overwrites typer's with nothing.
    """

    def __init__(self, *given: Any, callback: Callable[..., Any] | None = None, **named: Any) -> None:
        """Take what typer gives a command; the help of arguments is in the annotations of ``callback``."""
        super().__init__(*given, callback=callback, **named)
        said = {} if callback is None else _helps(inspect.unwrap(callback))
        for parameter in self.params:
            if isinstance(parameter, click.Argument) and not getattr(parameter, "help", None):
                parameter.help = said.get(str(parameter.name))


class ExplainedTyper(typer.Typer):
    """A ``typer.Typer`` with such commands."""

    def command(self, name: str | None = None, **named: Any) -> Callable[[Any], Any]:
        """Return a decorator, as ``typer.Typer.command`` does."""
        return super().command(name, cls=ExplainedCommand, **named)


def _helps(function: Callable[..., Any]) -> dict[str, str | None]:
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        name: part.help
        for name, hint in hints.items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, ArgumentInfo)
    }
