"""Options that several commands have."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from huscf_flwr.config import RunConfig, load_config
from huscf_flwr.methods import resolved

RunName = Annotated[
    str, typer.Argument(metavar="CONFIG", help="a name in conf/runs, such as demo, or a YAML file")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override, such as rounds=3")
]
ModelName = Annotated[str, typer.Option("--model", help="a name in conf/models, or a file")]
Width = Annotated[float, typer.Option("--width", help="multiplies the model's channels")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="images per client and step")]

Force = Annotated[bool, typer.Option("--force", help="replace what is there already")]


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


OutputFormat = Annotated[Format, typer.Option("--format", help="table or json")]


def read_run_config(name: str, overrides: list[str] | None) -> RunConfig:
    """Return the configuration that a command names, with its overrides and its method's settings.

    Raises ``ValueError`` naming the key, the value and what would be right.
    """
    return resolved(load_config(name, overrides or ()))


def print_json(content: Any) -> None:
    """Print ``content`` as one line of JSON."""
    typer.echo(json.dumps(content))
