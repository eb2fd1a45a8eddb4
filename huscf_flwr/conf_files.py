"""Finding the YAML files of ``conf/``, and turning them into validated objects.

The files lie beside the code: at ``<package parent>/conf/<kind>/<name>.yaml`` in a checkout and in a Flower
app bundle, at ``<package>/conf/<kind>/<name>.yaml`` in an installed wheel. Users give the name of one of them
(``demo``) or the path of their own. Names are never searched for in the working directory, because Flower
starts its processes in any directory.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from huscf_flwr.conf_words import Placed, Schema, keys_of, placed, wanted, words_of
from huscf_flwr.home import home_expanded
from huscf_flwr.naming import nearest
from huscf_flwr.yaml_reading import fault_of, parse_yaml, texts_of

Model = TypeVar("Model", bound=BaseModel)

_PACKAGE = Path(__file__).resolve().parent
_SUFFIX = ".yaml"


class ConfError(ValueError):
    """A configuration file that does not exist or is not valid."""


class Strict(BaseModel):
    """What people write: unknown keys are refused, values do not change, and numbers are finite.

    A truth value is no number, not in a list of numbers either.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, said: object) -> object:
        if not isinstance(said, Mapping):
            return said
        wrong = [
            InitErrorDetails(type=_NO_NUMBER, loc=(name,), input=said[name])
            for name in _numbers_of(cls)
            if name in said and _has_truth(said[name])
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return said


def formed(pattern: str, refusal: str) -> AfterValidator:
    """Return a check that a text has the form of ``pattern``; ``refusal`` says what is wanted, in words."""

    def check(said: str) -> str:
        if re.fullmatch(pattern, said) is None:
            raise ValueError(refusal)
        return said

    return AfterValidator(check)


NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Of a ``Name``, as a regular expression."""

Name = Annotated[
    str,
    Field(max_length=200),
    formed(
        NAME_FORM,
        "a name of letters a to z, digits, dots, hyphens and underscores is wanted, with a letter or a digit "
        "first",
    ),
]
"""A name that a folder can have anywhere, with a number after it too; on a command line it is one word."""


_NO_NUMBER = PydanticCustomError("truth_for_number", "a number is wanted here, and not true or false")


def is_number(annotation: object) -> bool:
    """Return whether a type wants a number, or several, and no truth value."""
    kinds = _kinds(annotation)
    return any(kind in (int, float) or type(kind) is int for kind in kinds) and bool not in kinds


@cache
def _numbers_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the fields that want a number, or several."""
    return tuple(name for name, field in model.model_fields.items() if is_number(field.annotation))


def _kinds(annotation: object) -> set[object]:
    return {annotation}.union(*(_kinds(part) for part in get_args(annotation) if isinstance(part, Hashable)))


def _has_truth(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_truth, value.values()))
    return any(map(_has_truth, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


def conf_folders(kind: str) -> tuple[Path, ...]:
    """Return the folders that may hold files of one kind, in order of precedence."""
    return (_PACKAGE / "conf" / kind, _PACKAGE.parent / "conf" / kind)


def known_confs(kind: str) -> tuple[str, ...]:
    """Return the sorted names of all files of one kind, such as ``scenarios``."""
    files = (file for folder in conf_folders(kind) for file in folder.glob(f"*{_SUFFIX}"))
    return tuple(sorted({file.stem for file in files}))


def find_conf(kind: str, name_or_path: str | Path) -> Path:
    """Return the file for a name or a path that a user gave.

    Args:
        kind: the subfolder of ``conf/``: ``scenarios``, ``devices``, ``models``, ...
        name_or_path: an existing file, or else the name of a file of that kind, without its suffix.

    Raises:
        ConfError: if there is no such file; the message lists the known names and suggests the nearest.
    """
    path = home_expanded(name_or_path)
    if path.is_file():
        return path
    for folder in conf_folders(kind):
        candidate = folder / f"{name_or_path}{_SUFFIX}"
        if candidate.is_file():
            return candidate
    known = known_confs(kind)
    if _is_path(str(name_or_path)):
        what = f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}"
        what += _file_near(path) or did_you_mean(path.stem, known)
    else:
        what = f"conf/{kind}: '{name_or_path}' is neither a file nor a known name"
        own = path.with_name(f"{path.name}{_SUFFIX}")
        what += f" (did you mean '{own}'?)" if own.is_file() else did_you_mean(str(name_or_path), known)
    raise ConfError(
        f"{what}. Known: {', '.join(known) or 'none'}. Give one of these names or the path of a YAML file."
    )


def _is_path(name: str) -> bool:
    """Return whether somebody means a file by it, and not what is called so."""
    return "/" in name or name.startswith("~") or name.casefold().endswith((_SUFFIX, ".yml"))


def _file_near(path: Path) -> str:
    """Return a question like ``did_you_mean``'s for the YAML file beside a path that is named like it.

    It has the file's whole path, which can be given instead.
    """
    try:
        files = sorted(each for each in path.parent.iterdir() if each.suffix in (_SUFFIX, ".yml"))
    except OSError:
        return ""
    # What all of them end with makes none of them more alike.
    near = next((each for each in files if did_you_mean(path.stem, [each.stem], cutoff=0.7)), None)
    return "" if near is None else f" (did you mean '{near}'?)"


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return `` (did you mean 'x'?)`` for the known word nearest to ``word``, or an empty string.

    Words with a similarity below ``cutoff``, from 0 to 1, are not suggested. Capitals do not matter.
    """
    spelled = {name.casefold(): name for name in known}
    near = nearest(word.casefold(), spelled, cutoff)
    return "" if near is None else f" (did you mean '{spelled[near]}'?)"


def did_you_mean_key(key: str, known: Collection[str]) -> str:
    """Return a hint at the known dotted key whose last part is most similar to that of ``key``.

    ``lr`` in a section with ``learning_rate`` is that, by its initials.
    """
    parts = {name: name.rpartition(".")[2].casefold() for name in known}
    section, _, said = key.casefold().rpartition(".")
    for name in known:
        beside = name.casefold().rpartition(".")[0] == section
        if beside and len(said) > 1 and "".join(word[0] for word in parts[name].split("_")) == said:
            return f" (did you mean '{name}'?)"
    near = nearest(said, sorted(set(parts.values())), cutoff=0.5)
    return did_you_mean(key, [name for name in sorted(known) if parts[name] == near], cutoff=0)


def read_yaml(path: Path, model: type[BaseModel] | None = None) -> dict[str, Any]:
    """Return the mapping in a YAML file; one that has not changed since is not parsed again.

    Args:
        path: of the file.
        model: what the content is going to be, so that texts in it stay texts.

    Raises:
        ConfError: if the file is not YAML, a key stands twice in it, or its top level is not a mapping.
    """
    try:
        is_now = path.stat()
    except OSError as error:
        raise ConfError(f"{path}: cannot be read as YAML: {error}") from error
    return copy.deepcopy(_read_yaml(path.absolute(), model, is_now.st_mtime_ns, is_now.st_size))


@lru_cache(maxsize=32)
def _read_yaml(
    path: Path,
    model: type[BaseModel] | None,
    changed: int,  # noqa: ARG001 - so is another content
    size: int,  # noqa: ARG001 - so is another content
) -> dict[str, Any]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), texts_of(model) if model is not None else ())
    except yaml.YAMLError as error:
        where, what = fault_of(error)
        raise ConfError(f"{path}{where and ', '}{where}: {what}") from error
    except (UnicodeDecodeError, OSError) as error:
        raise ConfError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfError(f"{path}: expected 'key: value' lines, found {type(content).__name__}")
    return content


def validate(
    model: type[Model],
    content: Mapping[str, Any],
    source: str | Callable[[str], str],
    *,
    section: str = "",
) -> Model:
    """Return ``content`` as a ``model``, with errors that tell the user what to do.

    Args:
        model: a pydantic model, which should forbid unknown keys.
        content: the keys and values.
        source: where they come from (a file, a command line), for the error; or what says so of a dotted key,
            or of an empty one if an error is about the whole.
        section: the section that the keys belong to, so that an error gives their full names.

    Raises:
        ConfError: with one entry for each key that is unknown (and the nearest known key), is missing, or
            has a value that is not allowed.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        schema = model.model_json_schema()
        prefix = f"{section}." if section else ""
        found: dict[str, list[str]] = {}
        for detail in _first_causes(error.errors()):
            key, said = _described(detail, schema, prefix)
            place = source if isinstance(source, str) else source(key)
            found.setdefault(place, []).append(said)
        told = (f"{place}: {'; '.join(lines)}" for place, lines in found.items())
        raise ConfError("; ".join(told)) from error


def _first_causes(details: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Leave out that a list is too short where what is wrong with its items is said: they are not counted."""
    for detail in details:
        place = detail["loc"]
        inside = (other["loc"] for other in details if len(other["loc"]) > len(place))
        if detail["type"] != "too_short" or all(each[: len(place)] != place for each in inside):
            yield detail


def _described(detail: ErrorDetails, schema: Schema, prefix: str) -> tuple[str, str]:
    """Return the dotted key that an error is about, empty if it is about the whole, and what is wrong."""
    where = placed(detail["loc"], schema)
    key = prefix + ".".join(where.parts) if where.parts else ""
    if not key:
        return key, wanted(detail)
    if detail["type"] == "extra_forbidden":
        return key, _unknown(key, where, schema, prefix)
    if detail["type"] == "missing":
        return key, f"'{key}' is missing: add it"
    if detail["type"] == "union_tag_not_found":
        return key, f"'{key}.kind' is missing: add it, one of {', '.join(where.kinds)}"
    if detail["type"] == "union_tag_invalid":
        tag = detail["ctx"]["tag"]
        hint = did_you_mean(tag, where.kinds)
        return key, f"'{key}.kind' is '{tag}'{hint}: it must be one of {', '.join(where.kinds)}"
    words = words_of(detail)
    near = did_you_mean(detail["input"], words) if words and isinstance(detail["input"], str) else ""
    return key, f"'{key}' is {detail['input']!r}{near}: {wanted(detail)}"


def _unknown(key: str, where: Placed, schema: Schema, prefix: str) -> str:
    section, dot, leaf = where.parts[-1].rpartition(".")
    if dot:
        return f"unknown key '{key}': write '{leaf}' on a line of its own below '{section}:', indented"
    if not where.kind:
        near = did_you_mean_key(key, tuple(keys_of(schema, prefix)))
        return f"unknown key '{key}'{near}: remove it or correct its name"
    above = key.rpartition(".")[0]
    takes = [f"{above}.{name}" for name in where.beside if name != "kind"]
    near = did_you_mean_key(key, takes) or f", which takes {', '.join(takes) or 'nothing else'}"
    return f"unknown key '{key}' for kind {where.kind}{near}: remove it or correct its name"
