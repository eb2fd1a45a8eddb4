"""The small files of finished runs, which are kept, can be committed, and are enough to go on from.

A kept run is a folder ``<scenario>/<run>/`` with what ``read_run`` reads: the resolved configuration,
summary, metrics and evaluations. Beside them are ``origin.json`` and one small picture a domain. Paths of the
machine that it was made on are left out.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Any

import yaml

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.comparison.origin import setting_differences
from huscf_flwr.comparison.plan import PlannedRun
from huscf_flwr.config import RunConfig
from huscf_flwr.evaluation.run_record import RunRecord, read_run
from huscf_flwr.run.origin import Origin
from huscf_flwr.tensor_files import write_json

PICTURES = "pictures"
_ORIGIN = "origin.json"
_FILES = ("clients.json", "metrics.jsonl", "evaluations.jsonl", _ORIGIN)


class KeptRuns:
    """The kept runs of one comparison, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, run: PlannedRun) -> Path:
        """Return where the files of a run are, or would be."""
        return self.folder / run.scenario / run.config.name

    def record(self, run: PlannedRun) -> RunRecord | None:
        """Return what is kept of a run; None if nothing is, or it did not come to its end."""
        folder = self.folder_of(run)
        record = read_run(folder) if folder.is_dir() else None
        return record if record is not None and record.is_finished else None

    def why_stale(self, run: PlannedRun, origin: Origin) -> list[str]:
        """Return, in words, why what is kept of a run is not what it would be now; nothing if it is."""
        record = self.record(run)
        if record is None:
            return ["nothing is kept"]
        return why_another(record, run.config, origin)

    def keep(self, run: PlannedRun) -> None:
        """Take over the small files of a finished run from its run folder.

        The summary comes last: without it a run counts as not finished.
        """
        source, target = run.config.folder, self.folder_of(run)
        self._remove(target)
        for name in _FILES:
            if (source / name).is_file():
                write_atomically(target / name, (source / name).read_bytes())
        for picture in sorted((source / PICTURES).glob("*.png")):
            write_atomically(target / PICTURES / picture.name, picture.read_bytes())
        settings = _without_paths(run.config.model_dump(mode="json"))
        write_atomically(target / "config.yaml", yaml.safe_dump(settings, sort_keys=False).encode())
        write_atomically(target / "summary.json", (source / "summary.json").read_bytes())

    def _remove(self, target: Path) -> None:
        """Remove what ``keep`` writes, and nothing that somebody has put beside it."""
        for name in ("summary.json", *_FILES, "config.yaml"):
            (target / name).unlink(missing_ok=True)
        for picture in (target / PICTURES).glob("*.png"):
            picture.unlink()


def why_another(record: RunRecord, config: RunConfig, origin: Origin) -> list[str]:
    """Return, in words, what a run of ``config`` would compute otherwise than that of ``record``."""
    known = read_origin(record.folder)
    if known is None:
        return [f"it has no {_ORIGIN}"]
    return [*setting_differences(record.config, config), *known.differences(origin)]


def write_origin(folder: Path, origin: Origin) -> None:
    """Write ``origin.json`` into a run's folder."""
    write_json(folder / _ORIGIN, asdict(origin))


def read_origin(folder: Path) -> Origin | None:
    """Return what ``write_origin`` wrote; None if there is nothing that can be read."""
    try:
        content = json.loads((folder / _ORIGIN).read_text("utf-8"))
        # What was not looked at yet when it was written is missing.
        return Origin(
            **{field.name: content[field.name] for field in fields(Origin) if _is_there(field, content)}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_there(field: Field[Any], content: dict[str, Any]) -> bool:
    return field.default is MISSING or field.name in content


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out where things lie on this machine; names of files in ``conf`` stay."""
    data = {key: value for key, value in settings["data"].items() if key not in ("root", "cache")}
    kept = {key: value for key, value in settings.items() if key not in ("output", "resume")}
    return {**kept, "data": data}
