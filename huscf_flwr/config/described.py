"""What settings there are, which values each takes, and what is said of it, as the sections' classes have it.

Types and defaults are those of the fields; what a setting does stands below ``Attributes:`` in the docstring.
Nothing is written down a second time.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from huscf_flwr.conf_words import Schema
from huscf_flwr.config.run_config import RunConfig
from huscf_flwr.config.sections import Section

_ATTRIBUTES = re.compile(r"^Attributes:\n", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)
_FIRST_SENTENCE = re.compile(r".*?[.](?=\s+[A-Z0-9`(]|$)")
_NOUNS = {
    "integer": ("whole number", "whole numbers"),
    "number": ("number", "numbers"),
    "string": ("text", "texts"),
}
"""What values of a type in a JSON schema are called, one and several."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting, and what is said of it."""

    key: str
    """Dotted, as ``--set`` takes it."""
    values: str
    """Which it takes, in words."""
    default: Any
    """As JSON has it; None too if the setting must be said."""
    is_required: bool
    """Whether it must be said."""
    description: str
    """One paragraph; code in it stands between single backticks. Empty if nothing is said."""

    @property
    def summary(self) -> str:
        """The first sentence of the description."""
        first = _FIRST_SENTENCE.match(self.description)
        return self.description if first is None else first[0]


@dataclass(frozen=True, kw_only=True)
class SettingGroup:
    """The settings of one section."""

    section: str
    """Its name; empty for those that stand in none."""
    introduction: str
    """One paragraph on the section as a whole, like a setting's ``description``."""
    settings: tuple[Setting, ...]


def common_sections() -> dict[str, type[Section]]:
    """Return the classes of the sections that every run has, by name."""
    annotations = {name: field.annotation for name, field in RunConfig.model_fields.items()}
    return {
        name: kind
        for name, kind in annotations.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def common_settings() -> tuple[SettingGroup, ...]:
    """Return what every run has: settings without a section, then section by section."""
    sections = common_sections()
    whole = described_settings(RunConfig)
    alone = tuple(setting for setting in whole.settings if setting.key not in sections)
    first = SettingGroup(section="", introduction=whole.introduction, settings=alone)
    return (first, *(described_settings(kind, name) for name, kind in sections.items()))


def described_settings(kind: type[Section], name: str = "") -> SettingGroup:
    """Return the settings of the section ``name``, whose class is ``kind``."""
    schema = kind.model_json_schema()
    said = _descriptions(kind)
    prefix = f"{name}." if name else ""
    settings = (
        Setting(
            key=f"{prefix}{key}",
            values=_in_words(node, schema.get("$defs", {})),
            default=node.get("default"),
            is_required=key in schema.get("required", ()),
            description=said.get(key, ""),
        )
        for key, node in schema.get("properties", {}).items()
    )
    introduction = _ATTRIBUTES.split(inspect.cleandoc(kind.__doc__ or ""))[0]
    return SettingGroup(section=name, introduction=_paragraph(introduction), settings=tuple(settings))


def _descriptions(kind: type[Section]) -> dict[str, str]:
    """Return what the docstrings of a class, and of those that it is derived from, say of each attribute."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, Section):
            _, *attributes = _ATTRIBUTES.split(inspect.cleandoc(vars(each).get("__doc__") or ""))
            found |= {name: _paragraph(text) for part in attributes for name, text in _ENTRY.findall(part)}
    return found


def _paragraph(text: str) -> str:
    """Return text of a docstring as one line that begins with a capital, with single backticks."""
    line = " ".join(text.split()).replace("``", "`")
    return line[:1].upper() + line[1:]


def _in_words(node: Schema, defined: Mapping[str, Schema]) -> str:
    """Return which values a place in a JSON schema takes; ``defined`` are the types that it may refer to."""
    *others, last = _alternatives(node, defined)
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(node: Schema, defined: Mapping[str, Schema]) -> Iterator[str]:
    kind = node.get("type")
    if "$ref" in node:
        yield from _alternatives(defined[node["$ref"].rpartition("/")[2]], defined)
    elif "anyOf" in node:
        for part in node["anyOf"]:
            yield from _alternatives(part, defined)
    elif "const" in node or "enum" in node:
        yield from (f"`{value}`" for value in node.get("enum", [node.get("const")]))
    elif kind == "boolean":
        yield from ("`true`", "`false`")
    elif kind == "null":
        yield "`null`"
    elif kind == "array":
        yield _list_in_words(node)
    elif node.get("format") == "path":
        yield "path"
    elif kind in _NOUNS:
        yield f"{_NOUNS[kind][0]} {_bounds(node)}".rstrip()
    else:
        yield "keys with values"


def _list_in_words(node: Schema) -> str:
    several = node.get("prefixItems", [])
    item = several[0] if several else node.get("items", {})
    count = f"{len(several)} " if several else ""
    return f"list of {count}{_NOUNS.get(item.get('type'), ('', 'values'))[1]}"


def _bounds(node: Schema) -> str:
    """Return the words for the least and the largest value; empty if there are no such bounds."""
    lowest, above = node.get("minimum"), node.get("exclusiveMinimum")
    if above is not None and node["type"] == "integer":
        lowest, above = above + 1, None
    words = {
        "from": lowest,
        "above": above,
        "up to": node.get("maximum"),
        "below": node.get("exclusiveMaximum"),
    }
    return ", ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)
