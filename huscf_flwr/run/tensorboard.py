"""A run in TensorBoard: curves and pictures of every round, made from what lies in the run's folder."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from huscf_flwr.config import RunConfig
from huscf_flwr.evaluation.run_record import (
    DIRECTIONS,
    RunRecord,
    SampleGrid,
    byte_total,
    cluster_by_client,
    numbers,
    part,
    read_run,
)
from huscf_flwr.metrics import metric_named

FOLDER_NAME = "tensorboard"


def check_tensorboard(config: RunConfig) -> None:
    """Raise ``ValueError`` if event files are wanted and the package that writes them is not installed."""
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "tensorboard is true, but the package tensorboard is not installed: "
            "pip install 'huscf-flwr[tensorboard]', or set tensorboard to false"
        )


class TensorBoard:
    """Writes the event files of one run, below its folder."""

    def __init__(self, run_folder: Path) -> None:
        """Begin with the rounds that the run's folder already has; event files of before are replaced."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

        self._run_folder = run_folder
        shutil.rmtree(run_folder / FOLDER_NAME, ignore_errors=True)
        self._writer = SummaryWriter(str(run_folder / FOLDER_NAME))
        record = read_run(run_folder)
        for metrics in record.rounds:
            self._write(metrics, record)
        for line in record.evaluations:
            self.evaluation(line)

    def round(self, metrics: Mapping[str, Any]) -> None:
        """Write a finished round: its line of ``metrics.jsonl``, and its pictures."""
        self._write(metrics, read_run(self._run_folder))

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Write how clients found models of their own: a line of ``evaluations.jsonl``."""
        for on, scores in line["scores"].items():
            by_statistic = {
                statistic: {name: spread[statistic] for name, spread in scores.items()}
                for statistic in ("mean", "worst")
            }
            self._write_scalars(scores_of(f"own models {on.replace('_', ' ')}", by_statistic), line["round"])

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write the thorough scores of ``summary.json``, and close the files."""
        said = {name: part(product, "client_scores") for name, product in summary["products"].items()}
        scores = [
            *scores_of("final", summary.get("domains")),
            *scores_of("final on clients", said),
        ]
        self._write_scalars(scores, summary["rounds"])
        self._writer.close()

    def _write(self, metrics: Mapping[str, Any], record: RunRecord) -> None:
        number = metrics["round"]
        self._write_scalars(scalars_of(metrics), number)
        for grid in record.samples:
            if grid.round == number:
                self._write_picture(grid)
        self._writer.flush()

    def _write_scalars(self, scalars: Iterable[tuple[str, float]], number: int) -> None:
        for name, value in scalars:
            self._writer.add_scalar(name, value, number)

    def _write_picture(self, grid: SampleGrid) -> None:
        from PIL import Image  # noqa: PLC0415 - for a server; a ClientApp checks settings with this module

        with Image.open(grid.path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image(f"samples/{grid.product}", pixels, grid.round, dataformats="HWC")


def scalars_of(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield name and value of every curve that a round's line of ``metrics.jsonl`` continues."""
    for name, value in numbers(metrics.get("losses")):
        yield f"loss/{name}", value
    clusters = set(cluster_by_client(metrics).values())
    if clusters:
        yield "clusters/count", len(clusters)
    for group in ("scores", "facts"):
        for name, value in numbers(metrics.get(group)):
            yield f"round/{metric_named(name).title}", value
    for title, name in (("round", "seconds"), ("server in a step", "server_step_seconds")):
        if metrics.get(name) is not None:
            yield f"seconds/{title}", metrics[name]
    for direction in DIRECTIONS:
        yield f"bytes/{direction}", byte_total(metrics, direction) or 0
        for kind, value in numbers(part(metrics, "bytes", direction)):
            yield f"bytes {direction}/{kind}", value
    yield from scores_of("score", metrics.get("domains"))


def scores_of(prefix: str, scores: Mapping[str, Any] | None) -> Iterator[tuple[str, float]]:
    """Yield name and value of the scores that are known, by domain or product."""
    for owner, values in (scores or {}).items():
        for name, value in numbers(values):
            yield f"{prefix} {owner}/{metric_named(name).title}", value
