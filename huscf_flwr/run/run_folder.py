"""What a run leaves behind: one folder, written as it goes, so that a run that dies keeps its past."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from huscf_flwr.atomic_file import append_durably, copy_atomically, write_atomically
from huscf_flwr.config import RunConfig, dump_config, keep_named_files
from huscf_flwr.evaluation import draw_images
from huscf_flwr.evaluation.figures import sample_grid
from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.run_record import CLASSES, PRIVACY, name_of, read_run
from huscf_flwr.methods.contract import Method, Product
from huscf_flwr.models import model_spec_of
from huscf_flwr.run.checkpoint import Checkpoint
from huscf_flwr.run.observers import Observer
from huscf_flwr.run.rounds import Rounds
from huscf_flwr.seeding import torch_stream
from huscf_flwr.tensor_files import DamagedFileError, read_json, write_json, write_tensors

_LOGGER = logging.getLogger("huscf_flwr.run")


class RunFolder(Observer):
    """Writes configuration, clients, metrics, pictures, products, summary and report of one run."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.path = config.folder
        self._class_names_for: Callable[[Sequence[int]], Sequence[str]] = lambda _: ()

    def make(self, resumed: Checkpoint | None = None, note: Callable[[str], None] = _LOGGER.info) -> None:
        """Make the folder; one of an earlier run with this name is moved aside, not lost.

        Where it is now, ``note`` is told. A run that goes on from a checkpoint takes it over, with the
        metrics and pictures of all rounds until then. If it goes on in its own folder, nothing is left there
        of later rounds.
        """
        make_way(self.path, None if resumed is None else resumed.run_folder, note)
        self.path.mkdir(parents=True, exist_ok=True)
        if resumed is not None:
            self._take_over(resumed)
        keep_named_files(self._config, self.path)
        self._write("config.yaml", dump_config(self._config))

    def name_classes(
        self, by_domain: Mapping[str, Sequence[str]], names_for: Callable[[Sequence[int]], Sequence[str]]
    ) -> None:
        """Write what classes are called in ``classes.json``, by domain, and caption pictures with it.

        ``names_for`` returns the names by label for the clients of a product, or none. Domains whose classes
        have only numbers are left out; without any other, nothing is written.
        """
        self._class_names_for = names_for
        if by_domain:
            write_json(self.path / CLASSES, {name: list(names) for name, names in by_domain.items()})

    def begin(self, rounds: Rounds, folder: Path) -> None:  # noqa: ARG002 - its own
        """Write who takes part, and, if rounds are already done, what there is to show."""
        clients = [
            {"id": client, "samples": description.samples, "device": description.device.name}
            for client, description in rounds.method.clients.items()
        ]
        pooled = {"pooled": True} if rounds.method.pools_domains else {}
        write_json(self.path / "clients.json", {"clients": clients, **pooled})
        self._write_documents(rounds.method)
        if rounds.number:
            self._write_products(rounds.method, rounds.number)

    def progress(self, number: int, done: int, total: int) -> None:
        """Write the progress of the current round, for anyone watching the folder."""
        content = {"round": number, "step": done, "steps": total}
        with suppress(OSError):  # a full disk must not stop the training; this file only shows how far it is
            write_atomically(self.path / "progress.json", json.dumps(content).encode(), durable=False)

    def round(self, line: Mapping[str, Any], rounds: Rounds) -> None:
        """Append the line to ``metrics.jsonl``, and write what there is to show now."""
        append_durably(self.path / "metrics.jsonl", json.dumps(line) + "\n")
        self._write_products(rounds.method, rounds.number)
        self._write_documents(rounds.method)

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Append the line to ``evaluations.jsonl``."""
        append_durably(self.path / "evaluations.jsonl", json.dumps(line) + "\n")

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json`` and ``report.html``."""
        write_json(self.path / "summary.json", summary)
        (self.path / "progress.json").unlink(missing_ok=True)
        write_report(self.path)

    def _write_documents(self, method: Method) -> None:
        for name, content in method.documents().items():
            write_json(self.path / f"{name}.json", content)

    def _write_products(self, method: Method, number: int) -> None:
        """Write each product's tensors, and a grid of its images."""
        products = method.products()
        for product in products:
            write_tensors(self.path / "generators" / f"{product.name}.safetensors", product.tensors)
            self._write_samples(method, product, number)
        names = {product.name for product in products}
        for path in (self.path / "generators").glob("*.safetensors"):
            if path.stem not in names:
                path.unlink()

    def _write_samples(self, method: Method, product: Product, number: int) -> None:
        config, classes = self._config, model_spec_of(self._config).classes
        columns = config.evaluation.sample_columns
        # One stream for all rounds: the same latent vectors show what the round changed.
        stream = torch_stream(config.seed, "sample grid", product.name)
        labels = torch.arange(classes).repeat_interleave(columns)
        sample_grid(
            self.path / "samples" / f"round-{number:03}-{product.name}.png",
            draw_images(method.sampler(config, product.tensors), labels, stream),
            columns,
            [name_of(label, self._class_names_for(product.clients)) for label in range(classes)],
        )

    def _take_over(self, resumed: Checkpoint) -> None:
        number = resumed.state.round
        # The checkpoint comes first: wherever this is cut short, there are as many metrics as it needs.
        resumed.take_over(self.path, keep_last=self._config.checkpoint.keep_last)
        record = read_run(resumed.run_folder)
        for name, known in (("metrics.jsonl", record.rounds), ("evaluations.jsonl", record.evaluations)):
            lines = [json.dumps(line) + "\n" for line in known if line["round"] <= number]
            if lines:
                self._write(name, "".join(lines))
            else:
                (self.path / name).unlink(missing_ok=True)
        for name in ("summary.json", "progress.json"):
            (self.path / name).unlink(missing_ok=True)
        if (known_number(record.privacy.get("round")) or 0) > number + 1:
            shutil.rmtree(self.path / PRIVACY, ignore_errors=True)
        (self.path / "samples").mkdir(exist_ok=True)
        for grid in record.samples:
            own = self.path / "samples" / grid.path.name
            if grid.round > number:
                own.unlink(missing_ok=True)
            elif not own.exists():
                copy_atomically(grid.path, own)

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode())


def make_way(folder: Path, resumed: Path | None, note: Callable[[str], None]) -> None:
    """Move an earlier run out of ``folder``, unless it is the one to be ``resumed``; ``note`` where to."""
    goes_on = resumed is not None and resumed.resolve() == folder.resolve()
    if goes_on or not folder.exists() or not any(folder.iterdir()):
        return
    ended = time.strftime("%Y%m%d-%H%M%S", time.localtime(folder.stat().st_mtime))
    moved = folder.rename(folder.with_name(f"{folder.name}-{ended}-{time.monotonic_ns() % 10**6:06}"))
    note(f"{folder} was there already; the run in it is kept as {moved}")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl`` so far, without one that is half written."""
    return [dict(line) for line in read_run(folder).rounds] if folder.is_dir() else []


def last_evaluation(folder: Path) -> dict[str, Any]:
    """Return the last line of ``evaluations.jsonl``; empty if there is none."""
    found = read_run(folder).evaluations if folder.is_dir() else ()
    return dict(found[-1]) if found else {}


def read_progress(folder: Path) -> dict[str, int] | None:
    """Return round, step and steps of a run that is under way."""
    try:
        return read_json(folder / "progress.json")
    except DamagedFileError:  # it is written again and again, and not made to survive a crash
        return None


def read_summary(folder: Path) -> dict[str, Any]:
    """Return ``summary.json``; raises ``DamagedFileError`` naming it if it is missing or cannot be read."""
    return read_json(folder / "summary.json")
