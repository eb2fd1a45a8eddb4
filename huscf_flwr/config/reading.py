"""A configuration from and to YAML files, ``--set`` and Flower's run config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from huscf_flwr.conf_files import ConfError, find_conf, read_yaml, validate
from huscf_flwr.config.own_place import at_its_place
from huscf_flwr.config.run_config import RunConfig, moved
from huscf_flwr.home import home_expanded
from huscf_flwr.yaml_reading import RepeatedKeyError, fault_of, parse_yaml, texts_of

RunConfigValue = bool | int | float | str


def load_config(name_or_path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a run from ``conf/runs/<name>.yaml`` or a path; ``overrides`` are ``section.key=value``.

    The ``config.yaml`` of a run is that of the run where it is now, should its folder have been moved. Raises
    ``ConfError`` naming the key, the value and what would be right.
    """
    path = find_conf("runs", name_or_path)
    content = {"name": _name_from(path.stem), **at_its_place(read_yaml(path, RunConfig), path)}
    sources = put_overrides(content, overrides)
    return with_absolute_paths(validate(RunConfig, content, partial(_source_of, sources, str(path))))


def _name_from(stem: str) -> str:
    """Return what a run is called whose file says nothing: its file, as far as that may be a name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "run"


def dump_config(config: RunConfig) -> str:
    """Return the configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def to_run_config(config: RunConfig) -> dict[str, RunConfigValue]:
    """Flatten for Flower: dotted, kebab-case keys; lists joined by commas; empty string for None."""
    return dict(_flatten(config.model_dump(mode="json"), ""))


def from_run_config(flat: Mapping[str, RunConfigValue]) -> RunConfig:
    """Read Flower's run config; the opposite of ``to_run_config``. An empty string means "not set".

    Raises ``ConfError`` naming the key, the value and what would be right.
    """
    content: dict[str, Any] = {}
    for key, value in flat.items():
        if value != "":
            _put(content, key, value, f"run config: {key}={value}")
    return with_absolute_paths(validate(RunConfig, content, "run config"))


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Return the same run with all its paths absolute.

    Flower starts its processes in folders of its own: what is a path here must be one there.
    """
    data, executor, classifier = config.data, config.executor, config.classifier
    located = {
        "scenario": _located(data.scenario),
        "cache": _absolute(data.cache),
        "root": _absolute(data.root),
    }
    networks = {"family": _located(classifier.family), "decoder": _located(classifier.decoder)}
    inception = _absolute(config.evaluation.inception)
    listening = {"certificate": _absolute(executor.certificate), "key": _absolute(executor.key)}
    return config.model_copy(
        update={
            "mode": _located(config.mode),
            "model": config.model.model_copy(update={"spec": _located(config.model.spec)}),
            "classifier": classifier.model_copy(update=networks),
            "data": data.model_copy(update=located),
            "cuts": config.cuts.model_copy(update={"devices": _located(config.cuts.devices)}),
            "evaluation": config.evaluation.model_copy(update={"inception": inception}),
            "executor": executor.model_copy(update=listening),
            "output": _absolute(config.output),
            "resume": _absolute(config.resume),
        }
    )


def _absolute(path: Path | None) -> Path | None:
    return home_expanded(path).absolute() if path else None


def _located(name_or_path: str) -> str:
    """Return the absolute path of a file; the name of one in ``conf/`` stays as it is."""
    path = home_expanded(name_or_path)
    return str(path.absolute()) if path.is_file() else name_or_path


def put_overrides(content: dict[str, Any], overrides: Iterable[str]) -> dict[str, str]:
    """Put what each ``--set KEY=VALUE`` says into ``content``; return which of them says each dotted key.

    A mapping, such as ``optimiser={beta1: 0.5}``, adds to the section. Raises ``ConfError`` for what is no
    such text, and for two that say the same key.
    """
    sources: dict[str, str] = {}
    for override in overrides:
        source = f"--set {override}"
        for said, value in _said_by(override):
            key = _put(content, said, value, source)
            if key in sources:
                raise ConfError(f"{sources[key]} and {source} both say '{key}': leave one of them out")
            sources[key] = source
    return sources


def _said_by(override: str) -> Iterator[tuple[str, object]]:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfError(f"--set {override}: write key=value, such as --set rounds=3")
    try:
        value = parse_yaml(text, texts_of(RunConfig), key.strip().replace("-", "_"))
    except RepeatedKeyError as error:  # in a line of a file it has a number, here there is only one
        raise ConfError(f"--set {override}: it says '{error.key}' twice: leave one of them out") from error
    except yaml.YAMLError as error:
        raise ConfError(f"--set {override}: '{text}' {fault_of(error)[1]}") from error
    yield from _leaves(key.strip(), value)


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield what a value says by dotted key: of a mapping, its values."""
    if not isinstance(value, dict) or not value:
        yield key, value
        return
    for name, part in value.items():
        yield from _leaves(f"{key}.{name}", part)


def _source_of(overrides: Mapping[str, str], file: str, key: str) -> str:
    """Return which of ``overrides``, by their keys, an error about ``key`` is about; else the ``file``.

    An error about a whole section, such as two settings that exclude each other, is about both.
    """
    for said, override in overrides.items():
        if f"{key}.".startswith(f"{said}."):
            return override
    within = f"{key}." if key else ""
    return f"{file} with --set" if any(said.startswith(within) for said in overrides) else file


def _put(content: dict[str, Any], key: str, value: object, source: str) -> str:
    """Put a value where its dotted key says, and make the sections that it needs; return the key as it is.

    That is with underscores, as in YAML.
    """
    *sections, leaf = key.replace("-", "_").split(".")
    if sections[:1] == ["method"]:
        raise ConfError(f"{source}: {moved(['.'.join([*sections, leaf][1:])])}")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfError(f"{source}: '{section}' is a value, not a section")
    if value == {}:  # which says nothing of the section but its name
        place.setdefault(leaf, {})
    else:
        place[leaf] = value
    return ".".join([*sections, leaf])


def _flatten(content: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, RunConfigValue]]:
    for key, value in content.items():
        name = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{name}.")
        elif isinstance(value, list):
            yield name, ",".join(map(str, value))
        else:
            yield name, "" if value is None else value
