"""The small files of finished runs, which are kept, can be committed, and are enough to go on from.

A kept run is a folder ``<scenario>/<run>/`` with what ``read_run`` reads: the resolved configuration,
summary, metrics and evaluations. Beside them are ``origin.json`` and one small picture a domain. Paths of the
machine that it was made on are left out.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Any

import yaml

from huscf_flwr.atomic_file import copy_atomically, write_atomically
from huscf_flwr.comparison.origin import setting_differences
from huscf_flwr.comparison.plan import PlannedRun
from huscf_flwr.config import RunConfig
from huscf_flwr.evaluation.run_record import RunRecord, read_run
from huscf_flwr.run.origin import Origin, origin_of
from huscf_flwr.tensor_files import write_json

PICTURES = "pictures"
ORIGIN = "origin.json"
_FAILURE = "failure.json"
_FILES = ("clients.json", "cuts.json", "metrics.jsonl", "evaluations.jsonl", ORIGIN)
_ABSOLUTE = re.compile(r"(?<![\w./~:-])/(?:[^\s/'\"(),;:]+/)+[^\s/'\"(),;:]*")
"""A path of two parts or more; one with blanks in it is known up to the first of them."""
_OURS = frozenset((*_FILES, _FAILURE, PICTURES, "config.yaml", "summary.json"))


class KeptRuns:
    """The kept runs of one comparison, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, run: PlannedRun) -> Path:
        """Return where the files of a run are, or would be."""
        return self.folder / run.scenario / run.config.name

    def record(self, run: PlannedRun) -> RunRecord | None:
        """Return what is kept of a run; None if nothing is, or not all of one that came to its end."""
        folder = self.folder_of(run)
        record = read_run(folder) if folder.is_dir() else None
        return record if record is not None and record.is_finished and record.rounds else None

    def why_stale(self, run: PlannedRun, origin: Origin) -> list[str]:
        """Return, in words, why what is kept of a run is not what it would be now; nothing if it is."""
        record = self.record(run)
        if record is None:
            return ["nothing is kept"]
        return why_another(record, run.config, origin)

    def fresh(self, run: PlannedRun) -> RunRecord | None:
        """Return what is kept of a run if that is what it would be now; images are not looked at."""
        return None if self.why_stale(run, origin_of(run.config)) else self.record(run)

    def failure(self, run: PlannedRun) -> str | None:
        """Return why a run failed when it was last made; None if it did not."""
        try:
            return str(json.loads((self.folder_of(run) / _FAILURE).read_text("utf-8"))["reason"])
        except (OSError, ValueError, KeyError):
            return None

    def keep_failure(self, run: PlannedRun, reason: str) -> None:
        """Keep why a run failed, in the place of what was kept of it."""
        with self._replaced(run) as folder:
            write_json(folder / _FAILURE, {"reason": _with_names_of_files(reason)})

    def keep(self, run: PlannedRun) -> None:
        """Take over the small files of a finished run from its run folder."""
        source = run.config.folder
        with self._replaced(run) as folder:
            for name in (*_FILES, "summary.json"):
                if (source / name).is_file():
                    copy_atomically(source / name, folder / name)
            (folder / PICTURES).mkdir()
            for picture in sorted((source / PICTURES).glob("*.png")):
                copy_atomically(picture, folder / PICTURES / picture.name)
            settings = _without_paths(run.config.model_dump(mode="json"))
            write_atomically(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False).encode())

    @contextmanager
    def _replaced(self, run: PlannedRun) -> Iterator[Path]:
        """Let a new folder be filled, and then take the place of a run's, of which the old files go last.

        What somebody else has put beside them stays.
        """
        target = self.folder_of(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
            new, old = Path(temporary) / "new", Path(temporary) / "old"
            new.mkdir()
            yield new
            if target.exists():
                target.rename(old)
                for path in old.iterdir():
                    if path.name not in _OURS:
                        path.rename(new / path.name)
            new.rename(target)


def why_another(record: RunRecord, config: RunConfig, origin: Origin) -> list[str]:
    """Return, in words, what a run of ``config`` would compute otherwise than that of ``record``."""
    known = read_origin(record.folder / ORIGIN)
    if known is None:
        return [f"it has no {ORIGIN}"]
    return [*setting_differences(record.config, config), *known.differences(origin)]


def write_origin(path: Path, origin: Origin) -> None:
    """Write what a run computes from; ``ORIGIN`` in its folder."""
    write_json(path, asdict(origin))


def read_origin(path: Path) -> Origin | None:
    """Return what ``write_origin`` wrote; None if there is nothing that can be read."""
    try:
        content = json.loads(path.read_text("utf-8"))
        # What was not looked at yet when it was written is missing.
        found = [field.name for field in fields(Origin) if _is_there(field, content)]
        return Origin(**{name: content[name] for name in found})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_there(field: Field[Any], content: dict[str, Any]) -> bool:
    return field.default is MISSING or field.name in content


def _with_names_of_files(text: str) -> str:
    """Leave out of a text where files lie on this machine: of an absolute path, its last part stays."""
    return _ABSOLUTE.sub(lambda found: Path(found[0]).name, text)


def _without_paths(settings: Any) -> Any:
    """Leave out where files lie on this machine: of an absolute path, its last part stays."""
    if isinstance(settings, dict):
        return {key: _without_paths(value) for key, value in settings.items()}
    is_path = isinstance(settings, str) and Path(settings).is_absolute()
    return Path(settings).name if is_path else settings
