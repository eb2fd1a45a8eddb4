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
from yaml.reader import ReaderError

_TEXT = "tag:yaml.org,2002:str"
_LOOKS_LIKE = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp"))
_OTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")
_NO_COLON = "could not find expected ':'"
_WORDS: Mapping[str, str] = {
    "mapping values are not allowed here": (
        "no 'key: value' can stand there: write each on a line of its own, all of a section with the same "
        "indentation, and a text that has a colon in quotes"
    ),
    _NO_COLON: "expected 'key: value', with a colon",
    r"expected <block end>, but found '(<block .*|[?-])'": "expected a line that is indented as those above",
    r"expected <block end>, but found (.*)": r"expected the end of the line, found \1",
    r"found character '\\t' .*": "expected spaces, found a tab: indent with spaces",
    r"found character (.*) that cannot start any token": (
        r"expected a value, found \1: write a text that begins with it in quotes"
    ),
    "found unexpected end of stream": "expected the quote that closes a text",
    r"expected ',' or ('.'), but got '<stream end>'": r"expected ',' or \1, found the end",
    r"expected ',' or ('.'), but got (.*)": r"expected ',' or \1, found \2",
}
"""By what PyYAML says, as regular expressions, the same for people who know YAML a little."""
_NEEDS_CONTEXT = ("but ", "second ")
_WITH_END = ("while parsing a flow", "while scanning a quoted")


class RepeatedKeyError(yaml.YAMLError):
    """A key stands twice in one section."""

    def __init__(self, key: str, line: int, first: int) -> None:
        super().__init__(
            f"line {line}: '{key}' is in line {first} already: remove one of them, or put their content "
            "together"
        )
        self.key = key


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
    except (ValueError, OverflowError) as error:  # what looks like a date or says that it is a number
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def fault_of(error: yaml.YAMLError) -> tuple[str, str]:
    """Return where a document is no YAML, and in a sentence what was expected there.

    The first is ``line 3, column 5``; it is empty where nobody knows, and the sentence names the line of a
    key that stands twice.
    """
    if isinstance(error, RepeatedKeyError):
        line, _, said = str(error).partition(": ")
        return line, said
    if isinstance(error, ReaderError):
        return (
            "",
            f"cannot be read as YAML: character {error.position + 1} is U+{error.character:04X}: remove it",
        )
    if not isinstance(error, yaml.MarkedYAMLError):
        return "", f"cannot be read as YAML: {error}"
    problem = str(error.problem)
    if problem.startswith(_NEEDS_CONTEXT):
        problem = f"{error.context}, {problem}"
    # A line without a colon is noticed in the next one only.
    mark = error.context_mark if problem == _NO_COLON else error.problem_mark
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
    return where, f"cannot be read as YAML: {_in_words(problem)}{_begun(error)}"


def _in_words(problem: str) -> str:
    for form, words in _WORDS.items():
        found = re.fullmatch(form, problem)
        if found:
            return found.expand(words)
    return problem


def _begun(error: yaml.MarkedYAMLError) -> str:
    """Return in which line begins what ends nowhere."""
    begins, ends = error.context_mark, error.problem_mark
    if begins is None or ends is None or begins.line == ends.line:
        return ""
    if not str(error.context).startswith(_WITH_END):
        return ""
    return f", for what begins in line {begins.line + 1}"


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
            raise RepeatedKeyError(name.value, line, lines[name.value])
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
