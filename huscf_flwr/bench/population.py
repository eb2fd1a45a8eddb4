"""A run with more and more virtual clients, of which as many as before take part in a round.

What a round costs should then not depend on how many clients there are. Every point is a whole run of the
local engine, in a process of its own, since memory that was once taken is seldom given back; the judges are
left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from huscf_flwr.bench.memory import peak_bytes, resident_bytes
from huscf_flwr.config import load_config
from huscf_flwr.methods import method_of
from huscf_flwr.run.check import check_run, is_lock_step
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics


@dataclass(frozen=True)
class PopulationPoint:
    """A run with ``clients`` clients, of which ``in_a_round`` took part in each round."""

    clients: int
    in_a_round: int
    rounds: int
    start_seconds: float
    """From nothing to the first round: data, descriptions, method."""
    round_seconds: float
    """Median, the first round left out."""
    training_share: float
    """Of the rounds' seconds: those in which clients or the executor computed."""
    end_seconds: float
    """From the last round to the end: summary and report."""
    peak_memory_bytes: int
    growth_bytes: int
    """By how much the process was larger after the last round than after the second."""
    disk_bytes: int
    """Of the run's folder, with what the clients keep for themselves."""


def measure_population(
    counts: Sequence[int], *, in_a_round: int, rounds: int, config: str, overrides: Sequence[str]
) -> list[PopulationPoint]:
    """Run ``config`` with ``overrides`` for each number of clients, one process after the other.

    Raises ``ValueError`` if the settings cannot be, before anything is measured.
    """
    runs = [
        (
            *overrides,
            f"clients={count}",
            f"fraction_train={min(1.0, in_a_round / count)}",
            f"min_train_clients={min(in_a_round, count)}",
            f"rounds={rounds}",
            "evaluation.every=0",
            "evaluation.synthetic_images=0",
        )
        for count in counts
    ]
    for run in runs:
        check_run(load_config(config, run))
    return [_in_a_process(config, *run) for run in runs]


def _in_a_process(*arguments: str) -> PopulationPoint:
    command = [sys.executable, "-m", __name__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return PopulationPoint(**json.loads(done.stdout.splitlines()[-1]))


class _Watch(NoDisplay):
    """Remembers when each round ended, and how large the process was then."""

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.resident: list[int] = []

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:  # noqa: ARG002 - of the process
        self.ended.append(time.perf_counter())
        self.resident.append(resident_bytes())


def _measured(name: str, overrides: Sequence[str]) -> PopulationPoint:
    with tempfile.TemporaryDirectory(prefix="huscf-population-") as folder:
        config = load_config(name, overrides).model_copy(update={"output": Path(folder)})
        watch, started = _Watch(), time.perf_counter()
        train_locally(config, display=watch, judged=False)
        ended = time.perf_counter()
        lines = read_metrics(config.folder)
        disk = sum(path.stat().st_size for path in config.folder.rglob("*") if path.is_file())
    seconds = [line["seconds"] for line in lines]
    later = list(zip(lines, seconds, strict=True))[1:] or list(zip(lines, seconds, strict=True))
    lock_step = is_lock_step(method_of(config))
    return PopulationPoint(
        clients=config.clients,
        in_a_round=len(lines[-1]["clients"]),
        rounds=len(lines),
        start_seconds=watch.ended[0] - started - seconds[0],
        round_seconds=median(each for _, each in later),
        training_share=sum(_computed(line, lock_step) for line, _ in later) / sum(s for _, s in later),
        end_seconds=ended - watch.ended[-1],
        peak_memory_bytes=peak_bytes(),
        growth_bytes=watch.resident[-1] - watch.resident[min(1, len(lines) - 1)],
        disk_bytes=disk,
    )


def _computed(line: Mapping[str, Any], lock_step: bool) -> float:
    """Return the seconds of a round in which one host's clients, or the executor, computed."""
    clients = sum(float(client["round_seconds"]["compute_s"]) for client in line["clients"])
    executor = line["steps"] * float(line["server_step_seconds"]) if lock_step else 0.0
    return clients + executor


if __name__ == "__main__":
    print(json.dumps(asdict(_measured(sys.argv[1], sys.argv[2:]))))
