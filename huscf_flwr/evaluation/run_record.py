"""What a run has written in its folder so far, read without trusting that it is complete.

A run may have died at any moment, may go on while it is read, and in a deployment knows less than in a
simulation. So every part may be missing, and every value may be `None`; what is not there is not invented.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from huscf_flwr.evaluation.formats import known_number

_SAMPLE_NAME = re.compile(r"round-(\d+)-cluster-(\d+)\.png")

logger = logging.getLogger(__name__)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class SampleGrid:
    """A picture of what a cluster's generator made after a round."""

    round: int
    cluster: int
    path: Path


@dataclass(frozen=True)
class RunRecord:
    """The parts of a run's folder; a part that is not there is empty.

    Attributes:
        folder: of the run.
        config: `config.yaml`.
        cuts: `cuts.json`.
        rounds: `metrics.jsonl`, one a round and in their order; a round that was repeated after a resume
            appears once, as it was last.
        summary: `summary.json`, which a run writes when it ends well.
        samples: the pictures in `samples/`, by cluster and round.
    """

    folder: Path
    config: Json
    cuts: Json
    rounds: tuple[Json, ...]
    summary: Json
    samples: tuple[SampleGrid, ...]

    @property
    def name(self) -> str:
        """Name of the run: as the summary or the configuration says, else that of the folder."""
        return str(self.summary.get("name") or self.config.get("name") or self.folder.resolve().name)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.summary)

    @property
    def clusters(self) -> dict[int, int]:
        """Cluster by client id after the last round that is known."""
        members = part(self.summary, "clusters", "members")
        if isinstance(members, Mapping):
            pairs = [(int(cluster), client) for cluster, ids in members.items() for client in ids]
            return {int(client): cluster for cluster, client in sorted(pairs, key=lambda pair: pair[1])}
        return cluster_by_client(self.rounds[-1]) if self.rounds else {}

    @property
    def domains(self) -> dict[str, dict[str, Any]]:
        """The last known scores by domain, in alphabetical order."""
        found: dict[str, dict[str, Any]] = {}
        for record in (*self.rounds, self.summary):
            for name, scores in (part(record, "domains") or {}).items():
                known = {
                    key: value for key, value in (scores or {}).items() if known_number(value) is not None
                }
                found.setdefault(str(name), {}).update(known)
        return dict(sorted(found.items()))


def read_run(folder: Path) -> RunRecord:
    """Read what there is in a run's folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such run folder; give the folder that a run wrote")
    return RunRecord(
        folder=folder,
        config=_mapping(folder / "config.yaml", yaml.safe_load),
        cuts=_mapping(folder / "cuts.json", json.loads),
        rounds=_rounds(folder / "metrics.jsonl"),
        summary=_mapping(folder / "summary.json", json.loads),
        samples=_samples(folder / "samples"),
    )


def part(record: Json, *keys: str) -> Any:
    """Return the value below nested keys, or `None` where one of them is missing."""
    value: Any = record
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def by_client(record: Json, key: str) -> dict[int, Any]:
    """Return the values of a list in one round's record by client id; those that are null are left out.

    Such a list is in the order of the record's ``clients``, whose ids need not begin at zero.
    """
    values = record.get(key) or ()
    ids = [int(client["id"]) for client in record.get("clients") or ()] or range(len(values))
    return {client: value for client, value in zip(ids, values, strict=False) if value is not None}


def cluster_by_client(record: Json) -> dict[int, int]:
    """Return the cluster of each client in one round's record."""
    return by_client(record, "clusters")


def _mapping(path: Path, parse: Any) -> Json:
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
    grids = [SampleGrid(int(match[1]), int(match[2]), path) for match, path in matches if match]
    return tuple(sorted(grids, key=lambda grid: (grid.cluster, grid.round)))
