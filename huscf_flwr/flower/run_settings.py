"""Which settings of a run Flower carries: those that the app lists in its ``pyproject.toml``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import RunConfig, RunConfigValue, from_run_config, to_run_config
from huscf_flwr.methods import resolved

Settings = Mapping[str, RunConfigValue]
"""By dotted key, as in Flower's run config."""


def listed_settings(app: Path) -> dict[str, RunConfigValue]:
    """Return what ``[tool.flwr.app.config]`` of the Flower app in folder ``app`` lists."""
    content = tomllib.loads((app / "pyproject.toml").read_text("utf-8"))
    return dict(_flattened(content["tool"]["flwr"]["app"]["config"], ""))


def overriding(config: RunConfig, listed: Settings) -> tuple[dict[str, RunConfigValue], list[str]]:
    """Return the settings that override the ``listed`` ones, and the keys of those that would be lost.

    Flower refuses a key that is not listed. Left out, it does no harm if the processes of the run come to the
    same value by themselves, as they do for a default of the method's.
    """
    said = to_run_config(resolved(config))
    carried = {key: value for key, value in said.items() if key in listed}
    unlisted = said.keys() - carried.keys()
    if not unlisted:
        return carried, []
    try:
        arrived = to_run_config(resolved(from_run_config({**listed, **carried})))
    except ConfError:
        # Some of them have no default.
        arrived = {}
    return carried, sorted(key for key in unlisted if key not in arrived or arrived[key] != said[key])


def _flattened(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, RunConfigValue]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def toml_value(value: bool | int | float | str) -> str:
    """Return a value as TOML has it, any text included: JSON's escapes of what is beyond 16 bits are none."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
