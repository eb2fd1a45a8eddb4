"""Commands that are imported once they are called: a device has not installed what others of them need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NoReturn

import click
import typer
from typer.core import TyperGroup

from huscf_flwr.commands.arguments import ExplainedTyper
from huscf_flwr.extras import MissingExtraError, extra


@dataclass(frozen=True)
class Place:
    """Where a command is, and which extra brings all that it needs."""

    module: str
    """In ``huscf_flwr.commands``."""
    name: str
    """Of its function, or of its ``typer.Typer`` if it has commands of its own."""
    extra: str | None = None
    """The least that has all packages which its module imports; None if a device has them."""


class OnDemand(TyperGroup):
    """A group of commands that are each imported when they, or their help, are asked for.

    A command that needs an extra which is not installed is listed too; its help, and calling it, say which.
    """

    places: ClassVar[Mapping[str, Place]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands in the order of their places, then those that are here already."""
        return [*self.places, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported if need be; None if there is none of this name."""
        place = self.places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        # However the program itself was called.
        whole = " ".join(("huscf", *ctx.command_path.split()[1:], cmd_name))
        try:
            with nullcontext() if place.extra is None else extra(place.extra, whole):
                found = getattr(import_module(f"huscf_flwr.commands.{place.module}"), place.name)
        except MissingExtraError as error:
            return _refusing(cmd_name, str(error), f"needs the extra '{place.extra}'")
        return _as_command(cmd_name, found)


def on_demand(*, help_text: str, places: Mapping[str, Place]) -> ExplainedTyper:
    """Return an app with the commands at these ``places``, by name."""
    group = type("Group", (OnDemand,), {"places": places})
    return ExplainedTyper(cls=group, no_args_is_help=True, add_completion=False, help=help_text)


def _as_command(name: str, found: Any) -> click.Command:
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    holder = ExplainedTyper(add_completion=False)
    holder.command(name)(found)
    return typer.main.get_command(holder)


def _refusing(name: str, why: str, in_short: str) -> click.Command:
    """Return a command that takes whatever is given, and says what is missing."""

    def refuse(**_: object) -> NoReturn:
        typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(why, err=True)
        raise typer.Exit(2)

    given = click.Argument(["given"], nargs=-1, type=click.UNPROCESSED)
    lenient = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name, callback=refuse, params=[given], context_settings=lenient, help=why, short_help=in_short
    )
