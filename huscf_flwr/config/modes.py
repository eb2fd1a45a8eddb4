"""Modes: files of settings that lie beneath what a run says and above the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from huscf_flwr.conf_files import find_conf, known_confs, read_yaml


def over_mode(mode: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``mode``, overridden by those that the user ``said``.

    Args:
        mode: name in ``conf/modes`` or path of a YAML file.
        said: settings and sections, as mappings or as models; a model says what it was given.

    Raises:
        ConfError: if there is no such mode, or its file cannot be read.
    """
    return _over(read_yaml(find_conf("modes", mode)), said)


def label_of(mode: str) -> str:
    """Return what to call a mode whose settings have been read: its name, or that of its file."""
    return mode if mode in known_confs("modes") else Path(mode).stem


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        lower, upper = below[key], above[key]
        if isinstance(upper, BaseModel):
            upper = upper.model_dump(exclude_unset=True)
        if isinstance(lower, Mapping) and isinstance(upper, Mapping):
            merged[key] = _over(lower, upper)
    return merged
