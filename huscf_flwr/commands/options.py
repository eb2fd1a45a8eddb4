"""Options that several commands have."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from huscf_flwr.config import RunConfig, load_config
from huscf_flwr.methods import resolved
from huscf_flwr.run.terminal import say

RunName = Annotated[
    str, typer.Argument(metavar="CONFIG", help="a name in conf/runs, such as demo, or a YAML file")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="override, such as rounds=3; huscf settings has all keys"
    ),
]
ModelName = Annotated[str, typer.Option("--model", help="a name in conf/models, or a file")]
Width = Annotated[float, typer.Option("--width", help="multiplies the model's channels")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=2, help="images per client and step")]

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


def check_is_run(folder: Path) -> None:
    """Raise ``ValueError`` unless ``folder`` is that of a run."""
    if not (folder / "config.yaml").is_file():
        missing = "has no config.yaml" if folder.is_dir() else "is no folder"
        raise ValueError(f"{folder} {missing}; give the folder of a run, such as runs/demo")


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def names_given(option: str, text: str | None) -> tuple[str, ...]:
    """Return the names that an option lists; none if it is not given.

    Raises ``ValueError`` if it is given and names nothing, as an empty variable of a shell does.
    """
    names = names_in(text or "")
    if text is not None and not names:
        raise ValueError(f"{option} is '{text}' and names nothing: leave it out for all, or name some")
    return names


def print_json(content: Any) -> None:
    """Print ``content`` as one line of JSON."""
    say(json.dumps(content))
