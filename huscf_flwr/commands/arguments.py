"""Commands whose help explains their arguments, and whose paths may begin with ``~``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo

from huscf_flwr.home import home_expanded


class ExplainedCommand(TyperCommand):
    """A command that knows what is said of its arguments, and where ``~`` is.

    Since click has help of its own for arguments, it overwrites typer's with nothing. And shells leave a
    ``~`` in quotes or behind ``=`` as it is.
    """

    def __init__(self, *given: Any, callback: Callable[..., Any] | None = None, **named: Any) -> None:
        """Take what typer gives a command; the help of arguments is in the annotations of ``callback``."""
        super().__init__(*given, callback=callback, **named)
        said = {} if callback is None else _helps(inspect.unwrap(callback))
        for parameter in self.params:
            if isinstance(parameter, click.Argument) and not getattr(parameter, "help", None):
                parameter.help = said.get(str(parameter.name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what somebody wrote, with the home folder for ``~`` in paths."""
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            said = ctx.params.get(str(parameter.name))
            if isinstance(parameter.type, click.Path) and isinstance(said, str | Path):
                ctx.params[str(parameter.name)] = home_expanded(said)
        return rest


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
