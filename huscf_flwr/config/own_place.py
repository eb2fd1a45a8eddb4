"""A run's folder that has been moved: what its ``config.yaml`` says of places, brought up to date.

A run keeps copies of the files that its settings name by path, so that it goes on without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from huscf_flwr.atomic_file import copy_atomically, write_atomically
from huscf_flwr.conf_files import ConfError, find_conf, read_yaml
from huscf_flwr.config.run_config import RunConfig

_FOLDER = "conf"
_NAMED = {
    "models": ("model", "spec"),
    "classifiers": ("classifier", "family"),
    "decoders": ("classifier", "decoder"),
    "devices": ("cuts", "devices"),
    "scenarios": ("data", "scenario"),
}
"""By kind of file, the section and the key that name one."""
_KNOW_THEIR_NAME = ("models", "classifiers", "decoders")
"""Kinds whose files are called by their name unless they say another."""
_CHECKPOINTS = "checkpoint"


def keep_named_files(config: RunConfig, folder: Path) -> None:
    """Copy the files that ``config`` names by path into the ``folder`` of the run."""
    for kind, (section, key) in _NAMED.items():
        source, own = Path(getattr(getattr(config, section), key)), _own(folder, kind)
        if not source.is_file() or source.resolve() == own.resolve():
            continue
        if kind in _KNOW_THEIR_NAME:
            content = {"name": source.stem, **read_yaml(source)}
            write_atomically(own, yaml.safe_dump(content, sort_keys=False).encode())
        else:
            copy_atomically(source, own)


def changed_files(config: RunConfig, folder: Path) -> dict[str, Path]:
    """Return, by setting, the copies in the run's ``folder`` of files that ``config`` names and that differ.

    Whoever named them has changed them since the run began, or names others.
    """
    changed = {}
    for kind, (section, key) in _NAMED.items():
        source, own = Path(getattr(getattr(config, section), key)), _own(folder, kind)
        if source.is_file() and own.is_file() and _named(source) != _named(own):
            changed[f"{section}.{key}"] = own
    return changed


def _named(path: Path) -> dict[str, Any]:
    """Return what a file says beside its name, which copies may say."""
    return {key: value for key, value in read_yaml(path).items() if key != "name"}


def at_its_place(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what the file ``path`` says; if it is a run's own, of the run where it lies now.

    Its folder then is the run's, and a file that is not where the run found it is the copy that the run kept.
    """
    folder = path.absolute().parent
    is_a_runs = content.get("resolved") is True and path.name == "config.yaml" and "output" in content
    if not is_a_runs or not (folder / _CHECKPOINTS).is_dir():
        return dict(content)
    before = str(Path(content["output"]) / str(content.get("name")))
    updated = {**content, "output": str(folder.parent), "name": folder.name}
    if content.get("resume") == before:
        updated["resume"] = str(folder)
    for kind, (section, key) in _NAMED.items():
        said, own = content.get(section), _own(folder, kind)
        if isinstance(said, Mapping) and own.is_file() and not _is_there(kind, str(said.get(key))):
            updated[section] = {**said, key: str(own)}
    return updated


def _own(folder: Path, kind: str) -> Path:
    return folder / _FOLDER / f"{kind}.yaml"


def _is_there(kind: str, name_or_path: str) -> bool:
    try:
        find_conf(kind, name_or_path)
    except ConfError:
        return False
    return True
