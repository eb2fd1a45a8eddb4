"""What a run has written in its folder so far, read without trusting that it is complete.

A run may have died at any moment, may go on while it is read, and in a deployment knows less than in a
simulation. So every part may be missing, and every value may be `None`; what is not there is not invented.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from huscf_flwr.evaluation.formats import known_number

DIRECTIONS = ("up", "down")
"""From clients to the server, and from the server to clients."""

CLASSES = "classes.json"
"""File with the names of classes, by domain and label; only where classes have names."""

PRIVACY = "privacy"
"""Folder with what an audit has found, and the name of the file in it that says so."""

_SAMPLE_NAME = re.compile(r"round-(\d+)-([a-z0-9-]+)\.png")
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""That of libyaml where PyYAML has it: a run that is watched is read twice a second."""

logger = logging.getLogger(__name__)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class SampleGrid:
    """A picture of what a product drew after a round."""

    round: int
    product: str
    path: Path


@dataclass(frozen=True)
class RunRecord:
    """The parts of a run's folder; a part that is not there is empty.

    Attributes:
        folder: of the run.
        config: `config.yaml`.
        described: `clients.json`.
        cuts: `cuts.json`, which only methods with cuts write.
        rounds: `metrics.jsonl`, one a round and in their order; a round that was repeated after a resume
            appears once, as it was last.
        evaluations: `evaluations.jsonl`, what clients found of models of their own, in the order of rounds.
        summary: `summary.json`, which a run writes when it ends well.
        samples: the pictures in `samples/`, by product and round.
        classes: `classes.json`, names by label for each domain whose classes have names.
        privacy: `privacy/privacy.json`, what an audit has found (`huscf privacy`).
    """

    folder: Path
    config: Json
    described: Json
    cuts: Json
    rounds: tuple[Json, ...]
    evaluations: tuple[Json, ...]
    summary: Json
    samples: tuple[SampleGrid, ...]
    classes: Json
    privacy: Json

    @property
    def name(self) -> str:
        """Name of the run: as the summary or the configuration says, else that of the folder."""
        return str(self.summary.get("name") or self.config.get("name") or self.folder.resolve().name)

    @property
    def method(self) -> str | None:
        """The method that was trained with, if anything says it."""
        name = self.summary.get("method") or self.config.get("method")
        return name if isinstance(name, str) else None

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.summary)

    @property
    def clients(self) -> tuple[int, ...]:
        """Ids of all clients that any part names."""
        named = [*items(self.described, "clients"), *items(self.cuts, "clients")]
        for entry in self.rounds:
            named += items(entry, "clients")
        ids = {int(client["id"]) for client in named if "id" in client}
        return tuple(sorted(ids.union(*self.products.values())))

    @property
    def clusters(self) -> dict[int, int]:
        """The last known cluster by client id; empty for a method without clusters."""
        found: dict[int, int] = {}
        for entry in self.rounds:
            found |= cluster_by_client(entry)
        return dict(sorted(found.items()))

    @property
    def products(self) -> dict[str, tuple[int, ...]]:
        """Ids of the clients that each product is for, once the run is over."""
        found = part(self.summary, "products")
        names = sorted(found, key=in_counting_order) if isinstance(found, Mapping) else ()
        return {name: tuple(map(int, part(found, name, "clients") or ())) for name in names}

    @property
    def domains(self) -> dict[str, dict[str, Any]]:
        """The last known scores by domain, in alphabetical order, with the `product` that was judged."""
        found: dict[str, dict[str, Any]] = {}
        for record in (*self.rounds, self.summary):
            for name, scores in (part(record, "domains") or {}).items():
                known = {key: value for key, value in (scores or {}).items() if _is_known(key, value)}
                found.setdefault(str(name), {}).update(known)
        return dict(sorted(found.items()))

    def class_names(self, product: str, domain: str | None = None) -> tuple[str, ...]:
        """Return names by label: those of ``domain``, or of the domain that a product was judged for.

        Empty if they are not known, or a product was judged for domains whose names differ.
        """
        judged = [name for name, scores in self.domains.items() if scores.get("product") == product]
        found = {tuple(map(str, self.classes.get(name, ()))) for name in ([domain] if domain else judged)}
        return found.pop() if len(found) == 1 else ()

    @property
    def client_scores(self) -> dict[str, dict[str, float]]:
        """Means of what clients found on their own test images, by product."""
        said = {name: part(self.summary, "products", name, "client_scores") for name in self.products}
        return {name: dict(numbers(scores)) for name, scores in said.items() if scores}


def read_run(folder: Path) -> RunRecord:
    """Read what there is in a run's folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such run folder; give the folder that a run wrote")
    return RunRecord(
        folder=folder,
        config=_mapping(folder / "config.yaml", partial(yaml.load, Loader=_YAML_LOADER)),
        described=_mapping(folder / "clients.json", json.loads),
        cuts=_mapping(folder / "cuts.json", json.loads),
        rounds=_rounds(folder / "metrics.jsonl"),
        evaluations=_rounds(folder / "evaluations.jsonl"),
        summary=_mapping(folder / "summary.json", json.loads),
        samples=_samples(folder / "samples"),
        classes=_mapping(folder / CLASSES, json.loads),
        privacy=_mapping(folder / PRIVACY / f"{PRIVACY}.json", json.loads),
    )


def name_of(label: int, names: Sequence[str]) -> str:
    """Return what a class is called: its name if it has one, else its number."""
    return names[label] if label < len(names) else str(label)


def part(record: Any, *keys: str) -> Any:
    """Return the value below nested keys, or `None` where one of them is missing."""
    value: Any = record
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def items(record: Json, *keys: str) -> list[Json]:
    """Return the objects of a list below nested keys; none if it is missing."""
    found = part(record, *keys)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, Sequence) else []


def numbers(values: Any) -> Iterator[tuple[str, float]]:
    """Yield those values of an object that are known numbers, with their names."""
    for name, value in values.items() if isinstance(values, Mapping) else ():
        number = known_number(value)
        if number is not None:
            yield str(name), number


def by_client(record: Json, *keys: str) -> dict[int, Any]:
    """Return a value of each client in one round's record, by client id, without those that are null."""
    values = {int(client["id"]): part(client, *keys) for client in items(record, "clients") if "id" in client}
    return {client: value for client, value in values.items() if value is not None}


def cluster_by_client(record: Json) -> dict[int, int]:
    """Return the cluster of each client in one round's record."""
    return {client: int(cluster) for client, cluster in by_client(record, "cluster").items()}


def byte_total(record: Json, direction: str) -> float | None:
    """Return the bytes of all kinds that crossed in a round; `None` if they were not counted."""
    counted = [value for _, value in numbers(part(record, "bytes", direction))]
    return sum(counted) if counted else None


def names_of(values: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names that occur in any of several objects, in the order in which they come up first."""
    return list(dict.fromkeys(name for value in values for name in value))


def in_counting_order(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a key that sorts `cluster-10` after `cluster-9`."""
    pieces = re.split(r"(\d+)", name)
    return tuple((piece.isdigit(), int(piece) if piece.isdigit() else 0, piece) for piece in pieces)


def _is_known(key: str, value: Any) -> bool:
    return known_number(value) is not None or (key == "product" and isinstance(value, str))


def _mapping(path: Path, parse: Callable[[str], Any]) -> Json:
    if not path.is_file():
        return {}
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        logger.warning("%s cannot be read and is left out: %s", path, error)
        return {}
    return content if isinstance(content, Mapping) else {}


def _rounds(path: Path) -> tuple[Json, ...]:
    if not path.is_file():
        return ()
    found: dict[int, Json] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            record = json.loads(line)
            found[int(record["round"])] = record
        except (ValueError, TypeError, KeyError):
            # The last line may be half written: the run died, or is writing it now.
            logger.warning("%s:%d is not the record of a round and is left out", path, number)
    return tuple(found[number] for number in sorted(found))


def _samples(folder: Path) -> tuple[SampleGrid, ...]:
    matches = ((_SAMPLE_NAME.fullmatch(path.name), path) for path in folder.glob("*.png"))
    grids = [SampleGrid(int(match[1]), match[2], path) for match, path in matches if match]
    return tuple(sorted(grids, key=lambda grid: (in_counting_order(grid.product), grid.round)))
