"""Where something that a person wrote is wrong, and what is wanted there, in words rather than pydantic's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]
"""A JSON schema, as pydantic makes one of a model."""

_WANTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number is wanted"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number is wanted"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false is wanted"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list is wanted, such as [a, b]"),
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type"),
        "keys with values are wanted, such as {key: value}",
    ),
    "finite_number": "a finite number is wanted",
    "string_type": "a text is wanted",
    "path_type": "a path is wanted",
}


class Placed(NamedTuple):
    """A key as people write it, by its place in a schema.

    Attributes:
        parts: of the key.
        kind: the kind that its section says it is; empty if sections like it are all of one kind.
        beside: the keys that its section may have.
        kinds: those that the key may have for a ``kind`` itself, if it is a section of several kinds.
    """

    parts: tuple[str, ...]
    kind: str
    beside: tuple[str, ...]
    kinds: tuple[str, ...]


def placed(location: Sequence[int | str], schema: Schema) -> Placed:
    """Return the key at one of pydantic's locations, in which there are also parts that nobody wrote.

    Such are the kind that a section is of, and, in parentheses, what a schema calls its choices.
    """
    parts: list[str] = []
    section, kind, said = [schema], "", ""
    nodes = _choices(schema, schema)
    for part in location:
        if str(part).startswith("("):
            continue
        kinds = _kinds(nodes)
        if part in kinds:
            said, nodes = str(part), _choices({"$ref": kinds[str(part)]}, schema)
            continue
        parts.append(str(part))
        section, kind, said = nodes, said, ""
        nodes = [each for node in section for below in _below(node, part) for each in _choices(below, schema)]
    beside = tuple(key for node in section for key in node.get("properties", ()))
    return Placed(tuple(parts), kind, beside, tuple(_kinds(nodes)))


def keys_of(schema: Schema, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all sections and keys in a JSON schema, without list indices."""
    yield from _keys_of(schema, schema.get("$defs", {}), prefix)


def wanted(detail: ErrorDetails) -> str:
    """Return what one of pydantic's errors says is wanted, in our words."""
    kind, message, context = detail["type"], detail["msg"], detail.get("ctx", {})
    if kind in _WANTED:
        return _WANTED[kind]
    if kind in ("too_short", "too_long"):
        bound, count = ("least", "min_length") if kind == "too_short" else ("most", "max_length")
        items = "1 item is" if context[count] == 1 else f"{context[count]} items are"
        return f"at {bound} {items} wanted"
    return re.sub(r"^(Input|String|Value) should ", "it must ", message.removeprefix("Value error, "))


def words_of(detail: ErrorDetails) -> tuple[str, ...]:
    """Return the words of which one is wanted; none if something else is."""
    listed = detail.get("ctx", {}).get("expected", "") if detail["type"] == "literal_error" else ""
    return tuple(re.findall(r"'([^']*)'", listed))


def _choices(node: Schema, schema: Schema) -> list[Schema]:
    """Return what a place in a schema may be: itself, or each of several."""
    if "$ref" in node:
        return _choices(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    parts = [*node.get("anyOf", ()), *node.get("allOf", ())]
    return [node] if not parts else [each for part in parts for each in _choices(part, schema)]


def _kinds(nodes: Sequence[Schema]) -> dict[str, str]:
    """Return references to what a section may be, by the kind that it says it is."""
    return {
        kind: place
        for node in nodes
        for kind, place in node.get("discriminator", {}).get("mapping", {}).items()
    }


def _below(node: Schema, part: int | str) -> Iterator[Schema]:
    if isinstance(part, str):
        known = node.get("properties", {})
        found = known.get(part, node.get("additionalProperties"))
    else:
        several = node.get("prefixItems", ())
        found = several[part] if part < len(several) else node.get("items")
    if isinstance(found, Mapping):
        yield found


def _keys_of(schema: Schema, definitions: Schema, prefix: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _keys_of(definitions[schema["$ref"].rpartition("/")[2]], definitions, prefix)
    items = [schema["items"]] if "items" in schema else []
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *items):
        yield from _keys_of(part, definitions, prefix)
    for key, part in schema.get("properties", {}).items():
        yield f"{prefix}{key}"
        yield from _keys_of(part, definitions, f"{prefix}{key}.")
