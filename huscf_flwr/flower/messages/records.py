"""How facts, numbers and tensors become Flower's records, and how listed ones are read again.

Facts are flattened: nested fields have dotted keys (``device.gflops``), and what is None is left out, so that
a field that may be None needs that default. They are read strictly: "3" is no number and "yes" no bool, but
a list may stand for a tuple, which Flower does not have, and 3 for 3.0. A record is named by what it is
about, such as ``order/3`` for client 3, and one of tensors by their kind too, such as
``tensors/3/segments``. Whoever reads a message takes out of it what may be there; what is then left was not
listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, ConfigRecordValues, MetricRecord, RecordDict
from pydantic import ValidationError
from torch import Tensor

from huscf_flwr.methods.contract import CrossingError, Facts, Parts, Tensors

FactsType = TypeVar("FactsType", bound=Facts)
RecordType = TypeVar("RecordType", ArrayRecord, ConfigRecord, MetricRecord)
_CLIENT = "0|[1-9][0-9]*"


def facts_record(facts: Facts) -> ConfigRecord:
    """Return facts as Flower carries them; raises ``CrossingError`` if they could not be read again."""
    name = type(facts).__name__
    try:
        record = ConfigRecord(dict(_flattened(facts.model_dump(mode="json", exclude_none=True))))
    except TypeError as error:
        raise CrossingError(f"{name} cannot cross: {error}") from error
    if read_facts(record, type(facts), f"what would cross of {name}") != facts:
        raise CrossingError(f"{name} cannot cross: it would not be read as it is; see Facts")
    return record


def read_facts(record: ConfigRecord, listed: type[FactsType], name: str) -> FactsType:
    """Return the facts that ``facts_record`` made; raises ``CrossingError`` for what is not ``listed``."""
    try:
        # Of JSON, strict reading takes lists for tuples and mappings for nested facts.
        return listed.model_validate_json(json.dumps(_nested(record)), strict=True)
    except TypeError as error:
        raise CrossingError(f"{name} is no {listed.__name__.lstrip('_')}: it has bytes") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'all of it'}: {each['msg']}" for each in error.errors()
        )
        raise CrossingError(f"{name} is no {listed.__name__.lstrip('_')}: {problems}") from error


def tensors_record(tensors: Tensors) -> ArrayRecord:
    """Return tensors as Flower carries them, whatever their layout and device."""
    return ArrayRecord({name: tensor.contiguous() for name, tensor in tensors.items()})


def parts_records(scope: str, parts: Parts) -> dict[str, ArrayRecord]:
    """Return one record for each kind of tensors: ``<scope>/<kind>``."""
    return {f"{scope}/{kind}": tensors_record(tensors) for kind, tensors in parts.items()}


def numbers_record(numbers: Mapping[str, float], listed: Collection[str], what: str) -> MetricRecord:
    """Return numbers as Flower carries them; raises ``CrossingError`` for names that are not ``listed``."""
    check_names(what, numbers, listed)
    return MetricRecord(dict(numbers))


def check_names(what: str, found: Iterable[str], listed: Collection[str]) -> None:
    """Raise ``CrossingError`` if ``what`` has names that the method does not list."""
    unlisted = sorted(set(found) - set(listed))
    if unlisted:
        raise CrossingError(f"{what} has {unlisted}, the method lists {sorted(listed)}")


class Reading:
    """A message that is being read: each record is taken once, and none may be left at the end."""

    def __init__(self, records: RecordDict) -> None:
        """Read ``records``."""
        self._left = dict(records)

    def facts(self, name: str, listed: type[FactsType]) -> FactsType:
        """Take the facts with this name; raises ``CrossingError`` if missing or not as ``listed``."""
        found = self.facts_if_any(name, listed)
        if found is None:
            raise CrossingError(f"a message without '{name}'")
        return found

    def facts_if_any(self, name: str, listed: type[FactsType]) -> FactsType | None:
        """Take the facts with this name, if they are there."""
        record = self._left.pop(name, None)
        return None if record is None else read_facts(_typed(record, ConfigRecord, name), listed, name)

    def facts_of_clients(self, scope: str, listed: type[FactsType]) -> dict[int, FactsType]:
        """Take the facts named ``<scope>/<client>``, by client id."""
        return {
            client: read_facts(record, listed, f"{scope}/{client}")
            for client, record in self._of_clients(scope, ConfigRecord)
        }

    def numbers_of_clients(self, scope: str, listed: Collection[str]) -> dict[int, dict[str, float]]:
        """Take the numbers named ``<scope>/<client>``, by client id."""
        found = dict(self._of_clients(scope, MetricRecord))
        for client, record in found.items():
            check_names(f"{scope}/{client}", record, listed)
        return {client: _numbers(record) for client, record in found.items()}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Take the tensors with this name; raises ``CrossingError`` if they are missing."""
        if name not in self._left:
            raise CrossingError(f"a message without '{name}'")
        return dict(_typed(self._left.pop(name), ArrayRecord, name).to_torch_state_dict())

    def numbers(self, name: str, listed: Collection[str]) -> dict[str, float]:
        """Take the numbers with this name; raises ``CrossingError`` if they are missing or not listed."""
        if name not in self._left:
            raise CrossingError(f"a message without '{name}'")
        record = _typed(self._left.pop(name), MetricRecord, name)
        check_names(name, record, listed)
        return _numbers(record)

    def parts(self, scope: str) -> dict[str, dict[str, dict[str, Tensor]]]:
        """Take the tensors named ``<scope>/<whose>/<kind>``: by whose they are, kind and name."""
        found: dict[str, dict[str, dict[str, Tensor]]] = {}
        for (whose, kind), record in self._named(f"{scope}/(.+)/([^/]+)", ArrayRecord):
            found.setdefault(whose, {})[kind] = dict(record.to_torch_state_dict())
        return found

    def end(self) -> None:
        """Raise ``CrossingError`` if there is anything that nobody took."""
        if self._left:
            raise CrossingError(f"a message with {sorted(self._left)}, which are not listed")

    def _of_clients(self, scope: str, kind: type[RecordType]) -> Iterator[tuple[int, RecordType]]:
        for (client,), record in self._named(f"{scope}/({_CLIENT})", kind):
            yield int(client), record

    def _named(self, pattern: str, kind: type[RecordType]) -> Iterator[tuple[tuple[str, ...], RecordType]]:
        matches = {name: match for name in self._left if (match := re.fullmatch(pattern, name))}
        for name, match in matches.items():
            yield match.groups(), _typed(self._left.pop(name), kind, name)


def _typed(record: object, kind: type[RecordType], name: str) -> RecordType:
    if not isinstance(record, kind):
        raise CrossingError(f"{name} is a {type(record).__name__}, not a {kind.__name__}")
    return record


def _numbers(record: MetricRecord) -> dict[str, float]:
    numbers = {}
    for name, value in record.items():
        if not isinstance(value, int | float):
            raise CrossingError(f"{name} is {value}, which is not a number")
        numbers[name] = float(value)
    return numbers


def _flattened(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, ConfigRecordValues]]:
    for name, value in facts.items():
        if "." in name:
            raise CrossingError(f"{prefix}{name}: a name with a dot cannot be told from a nested one")
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _nested(record: ConfigRecord) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for key, value in record.items():
        *path, leaf = key.split(".")
        place = facts
        for name in path:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise CrossingError(f"{key}: '{name}' is a value, and has no others in it")
        place[leaf] = value
    return facts
