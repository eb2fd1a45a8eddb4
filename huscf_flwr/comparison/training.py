"""Makes the runs of a comparison that are missing, each in a process of its own.

A run that fails is told of, and the others go on. One that was interrupted goes on from its last checkpoint
if it would still compute the same, and so does the whole comparison: what is finished is known again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

import torch

from huscf_flwr.comparison.kept import KeptRuns, read_origin, why_another, write_origin
from huscf_flwr.comparison.origin import setting_differences
from huscf_flwr.comparison.pictures import draw_pictures
from huscf_flwr.comparison.plan import Plan, PlannedRun
from huscf_flwr.config import RunConfig
from huscf_flwr.data import DataError
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.methods import method_of
from huscf_flwr.run.check import CheckedRun, check_run, check_settings, population_for
from huscf_flwr.run.checkpoint import CheckpointError, last_round
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest, stop_requests
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.mistakes import told
from huscf_flwr.run.origin import Origin, images_hash, origin_of

_POLL_SECONDS = 0.3


class ComparisonDisplay(Protocol):
    """Told how a comparison goes."""

    def begin(self, finished: int, due: Sequence[PlannedRun]) -> None:
        """So many runs are there, and these are to be made."""
        ...

    def running(self, runs: Sequence[PlannedRun]) -> None:
        """These runs go on now; their folders say how far they are."""
        ...

    def done(self, run: PlannedRun, error: str | None) -> None:
        """A run has ended; ``error`` says why, if it failed."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line happened."""
        ...


class StoppedComparisonError(InterruptedRunError):
    """Somebody stopped the comparison; the same command goes on with it."""

    def __init__(self, cause: signal.Signals) -> None:
        super().__init__(cause, None, None)
        self.args = (f"stopped by {cause.name}; the same command goes on",)


@dataclass
class Origins:
    """What runs compute from; images are looked at once for all columns that have the same."""

    _images: dict[str, str | None] = field(default_factory=dict)

    def of(self, config: RunConfig) -> Origin:
        """Return the origin of a run, without its images if they cannot be had here."""
        origin, pools = origin_of(config), method_of(config).pools_domains
        key = f"{origin.scenario} {config.seed} {config.clients} {config.data.model_dump_json()} {pools}"
        if key not in self._images:
            try:
                self._images[key] = images_hash(population_for(config, method_of(config)))
            except DataError:
                self._images[key] = None
        return replace(origin, images=self._images[key])


def missing_runs(plan: Plan, kept: KeptRuns, display: ComparisonDisplay) -> list[PlannedRun]:
    """Return the runs that have to be made, or made anew; tell why where something was kept."""
    origins, missing = Origins(), []
    for run in plan.runs:
        origin = origins.of(run.config)
        if kept.record(run) is not None:
            stale = kept.why_stale(run, origin)
            if not stale:
                continue
            display.note(f"{run.name} is made anew: {'; '.join(stale)}")
        if _is_whole(run, origin):
            kept.keep(run)
            continue
        missing.append(run)
    return missing


def train_runs(
    due: Sequence[PlannedRun], kept: KeptRuns, *, jobs: int, display: ComparisonDisplay
) -> dict[str, str]:
    """Make runs, ``jobs`` at a time, and keep their small files; return why runs failed, by their names.

    Raises ``StoppedComparisonError`` once all of them have stopped, if that was asked for.
    """
    waiting, going, failures = list(due), list[_Job](), dict[str, str]()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with stop_requests() as stop:
        try:
            while going or (waiting and stop.cause is None):
                while waiting and stop.cause is None and len(going) < jobs:
                    going.append(_Job(waiting.pop(0), threads))
                display.running([job.run for job in going])
                for job in _ended(going, stop):
                    going.remove(job)
                    if stop.cause is not None and job.was_stopped:
                        continue
                    if job.error is None:
                        kept.keep(job.run)
                    else:
                        failures[job.run.name] = job.error
                    display.done(job.run, job.error)
        finally:
            for job in going:
                job.kill()
        if stop.cause is not None:
            raise StoppedComparisonError(stop.cause)
    return failures


class _Job:
    """A run in a process of its own."""

    def __init__(self, run: PlannedRun, threads: int) -> None:
        self.run = run
        self.was_stopped = False
        self.error: str | None = None
        context = multiprocessing.get_context("spawn")
        self._answer, answer = context.Pipe(duplex=False)
        self._process: SpawnProcess = context.Process(target=_train, args=(run.config, threads, answer))
        self._process.start()
        answer.close()
        self._was_asked = False

    def ask_to_stop(self) -> None:
        """Let it end its step."""
        if not self._was_asked and self._process.is_alive():
            self._process.terminate()
        self._was_asked = True

    def has_ended(self) -> bool:
        """Whether its process has ended; then ``error`` and ``was_stopped`` are known."""
        if self._process.is_alive():
            return False
        self._process.join()
        said = None
        with suppress(EOFError, OSError):
            said = self._answer.recv() if self._answer.poll() else None
        self.was_stopped = said == _STOPPED
        died = f"its process ended with {_cause(self._process.exitcode)}"
        self.error = died if said is None else said or None
        return True

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()


_STOPPED = "stopped"


def _ended(going: Sequence[_Job], stop: StopRequest) -> Iterator[_Job]:
    time.sleep(_POLL_SECONDS)
    for job in list(going):
        if stop.cause is not None:
            job.ask_to_stop()
        if job.has_ended():
            yield job


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _train(config: RunConfig, threads: int, answer: Connection) -> None:
    """Make one run, and say how it ended: why it failed, or nothing."""
    # Only the parent gets a Ctrl-C, and passes it on once.
    os.setsid()
    torch.set_num_threads(threads)
    try:
        with stop_requests() as stop:
            checked = _checked(config)
            # A host for each client, as on devices: what several clients are sent is counted for each.
            hosts = len(checked.population.partitions)
            train_locally(checked, hosts=hosts, display=NoDisplay(), stop=stop)
        draw_pictures(checked)
        write_origin(config.folder, origin_of(checked.config, checked.images))
        answer.send("")
    except (InterruptedRunError, KeyboardInterrupt):
        answer.send(_STOPPED)
    except Exception as error:
        answer.send(told(error) or type(error).__name__)


def _checked(config: RunConfig) -> CheckedRun:
    """Return the run, checked; it begins anew if its images are not those of its checkpoint any more."""
    try:
        return check_run(resumable(config))
    except CheckpointError:
        return check_run(config)


def resumable(config: RunConfig) -> RunConfig:
    """Return the run, going on from its own folder if that has a checkpoint of the same run."""
    folder = config.folder
    if last_round(folder) is None:
        return config
    record = read_run(folder)
    is_another = record.is_finished and read_origin(folder) is not None
    if is_another or setting_differences(record.config, config):
        return config
    again = config.model_copy(update={"resume": folder})
    try:
        check_settings(again, method_of(again))
    except ValueError:
        return config
    return again


def _is_whole(run: PlannedRun, origin: Origin) -> bool:
    """Whether the run's own folder has what this comparison wants, finished."""
    folder = run.config.folder
    record = read_run(folder) if folder.is_dir() else None
    return record is not None and record.is_finished and not why_another(record, run.config, origin)
