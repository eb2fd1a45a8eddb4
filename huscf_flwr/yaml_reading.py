"""YAML as people mean it.

A key that stands twice is refused, where YAML's readers let the last one win. A value that is to be a text
stays one, though it looks like a number, a date or a truth value: a run may be called ``007`` or ``on``. And
``010`` is ten and ``12:30`` no number, though they are octal and sexagesimal in YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel

_TEXT = "tag:yaml.org,2002:str"
_LOOKS_LIKE = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp"))
_OTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")


class RepeatedKeyError(yaml.YAMLError):
    """A key stands twice in one section."""


def parse_yaml(text: str, texts: Collection[str] = (), key: str = "") -> Any:
    """Return what a YAML document says.

    Args:
        text: the document.
        texts: dotted keys, without indices of lists, whose values are texts.
        key: dotted key of the whole document, if it is only a value.

    Raises:
        yaml.YAMLError: if it is none, or a key stands twice in it; the message has the line.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _prepare(node, frozenset(texts), key, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


@cache
def texts_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the dotted keys of a model, without indices of lists, whose values are texts."""
    schema = model.model_json_schema()
    return frozenset(_texts(schema, schema.get("$defs", {}), ""))


def _prepare(node: yaml.Node, texts: frozenset[str], key: str, seen: set[int]) -> None:
    if id(node) in seen:  # an anchor that is used again
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        _refuse_repeated_keys(node)
        for name, value in node.value:
            _prepare(value, texts, f"{key}.{name.value}".lstrip("."), seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _prepare(item, texts, key, seen)
    elif node.tag in _LOOKS_LIKE and (key in texts or _has_other_base(node)):
        node.tag = _TEXT


def _refuse_repeated_keys(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode):
            continue
        line = name.start_mark.line + 1
        if name.value in lines:
            raise RepeatedKeyError(
                f"line {line}: '{name.value}' is in line {lines[name.value]} already: remove one of them, "
                "or put their content together"
            )
        lines[name.value] = line


def _has_other_base(node: yaml.Node) -> bool:
    return not node.tag.endswith((":timestamp", ":bool")) and bool(_OTHER_BASE.fullmatch(str(node.value)))


def _texts(schema: Mapping[str, Any], definitions: Mapping[str, Any], key: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _texts(definitions[schema["$ref"].rpartition("/")[2]], definitions, key)
        return
    if key and _is_text(schema):
        yield key
    items = schema.get("items")
    nested = [items] if isinstance(items, Mapping) else []
    for part in (*nested, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if not _is_text(part):
            yield from _texts(part, definitions, key)
    for name, part in schema.get("properties", {}).items():
        yield from _texts(part, definitions, f"{key}.{name}".lstrip("."))


def _is_text(schema: Mapping[str, Any]) -> bool:
    """Return whether a value is a text, or a list of texts, or else nothing."""
    if "anyOf" in schema:
        parts = [part for part in schema["anyOf"] if part.get("type") != "null"]
        return bool(parts) and all(map(_is_text, parts))
    if schema.get("type") == "array":
        return isinstance(schema.get("items"), Mapping) and _is_text(schema["items"])
    return schema.get("type") == "string"
