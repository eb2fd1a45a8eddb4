"""Makes the runs of a comparison that are missing, each in a process of its own.

A run that fails is told of, and the others go on. One that was interrupted goes on from its last checkpoint
if it would still compute the same, and so does the whole comparison: what is finished is known again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from huscf_flwr.comparison.kept import KeptRuns, why_another
from huscf_flwr.comparison.one_run import STOPPED
from huscf_flwr.comparison.plan import Plan, PlannedRun
from huscf_flwr.config import RunConfig, dump_config
from huscf_flwr.data import DataError, check_domains_are_known
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.methods import method_of
from huscf_flwr.run.check import population_for
from huscf_flwr.run.interruption import InsistedError, InterruptedRunError, StopRequest, stop_requests
from huscf_flwr.run.origin import Origin, images_hash, origin_of

_POLL_SECONDS = 0.3


class ComparisonDisplay(Protocol):
    """Told how a comparison goes."""

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

    def __init__(self, cause: signal.Signals, *, at_once: bool = False) -> None:
        """``at_once`` if somebody asked a second time, and steps were not ended."""
        super().__init__(cause, None, None)
        self.args = (f"stopped by {cause.name}{' at once' if at_once else ''}; the same command goes on",)


class Origins:
    """What runs compute from; images are looked at once for all columns that have the same."""

    def __init__(self, note: Callable[[str], None] = lambda _: None) -> None:
        """``note`` is told of images that cannot be had here."""
        self._note = note
        self._noted: set[str] = set()
        self._images: dict[str, str | None] = {}

    def of(self, config: RunConfig) -> Origin:
        """Return the origin of a run, without its images if they cannot be had here."""
        origin, method = origin_of(config), method_of(config)
        data = config.data.model_dump_json()
        key = f"{origin.scenario} {origin.model} {config.seed} {config.clients} {data} {method.pools_domains}"
        if key not in self._images:
            try:
                self._images[key] = images_hash(population_for(config, method))
            except DataError as error:
                self._images[key] = None
                self._note_once(
                    f"images that cannot be had are not compared with those of kept runs: {error}"
                )
        return replace(origin, images=self._images[key])

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)


def missing_runs(plan: Plan, kept: KeptRuns, display: ComparisonDisplay) -> list[PlannedRun]:
    """Return the runs that have to be made, or made anew; tell why where something was kept."""
    origins, missing = Origins(display.note), []
    for run in plan.runs:
        with progress_told(Paced(display.note)):
            stale = kept.why_stale(run, origin_of(run.config)) or kept.why_stale(run, origins.of(run.config))
        if not stale:
            continue
        if kept.record(run) is not None:
            display.note(f"{run.name} has to be made anew: {'; '.join(stale)}")
        if _is_whole(run, origins):
            kept.keep(run)
        else:
            missing.append(run)
    for reason in dict.fromkeys(filter(None, map(_why_hopeless, missing))):
        display.note(f"cannot be made: {reason}")
    return missing


def _why_hopeless(run: PlannedRun) -> str:
    """Return why a run will fail, as far as it can be told without its images; empty if it may not."""
    try:
        check_domains_are_known(run.config)
    except DataError as error:
        return f"{run.scenario}, {error}"
    return ""


def train_runs(
    due: list[PlannedRun], kept: KeptRuns, *, jobs: int, display: ComparisonDisplay
) -> dict[str, str]:
    """Make runs, ``jobs`` at a time, and keep their small files; return why runs failed, by their names.

    What has been made is taken out of ``due``, so that the rest stays there if it does not come to its end.
    Raises ``StoppedComparisonError`` once all of them have stopped, if that was asked for; a second time ends
    them at once.
    """
    waiting, going, failures = list(due), list[_Job](), dict[str, str]()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with _stop_requests() as stop:
        try:
            while going or (waiting and stop.cause is None):
                while waiting and stop.cause is None and len(going) < jobs:
                    going.append(_Job(waiting.pop(0), threads))
                display.running([job.run for job in going])
                for job in _ended(going, stop):
                    going.remove(job)
                    if job.was_stopped:
                        continue
                    due.remove(job.run)
                    if job.error:
                        failures[job.run.name] = job.error
                        kept.keep_failure(job.run, job.error)
                    else:
                        kept.keep(job.run)
                    display.done(job.run, job.error or None)
        finally:
            for job in going:
                job.kill()
        if stop.cause is not None:
            raise StoppedComparisonError(stop.cause)
    return failures


@contextmanager
def _stop_requests() -> Iterator[StopRequest]:
    """Take note of them; whoever insists is told how to go on as well as whoever asks."""
    try:
        with stop_requests() as stop:
            yield stop
    except InsistedError as insisted:
        raise StoppedComparisonError(insisted.cause, at_once=True) from insisted


class _Job:
    """A run in a process of its own; a Ctrl-C does not reach it but through ``ask_to_stop``."""

    def __init__(self, run: PlannedRun, threads: int) -> None:
        self.run = run
        self.error = ""
        self.was_stopped = False
        self._was_asked = False
        run.config.output.mkdir(parents=True, exist_ok=True)
        self._log = run.config.output / f"{run.config.name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "huscf_flwr.comparison.one_run", str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(dump_config(run.config).encode())
        self._process.stdin.close()

    def ask_to_stop(self, cause: signal.Signals) -> None:
        """Let it end its step, as if it had got the signal itself."""
        if not self._was_asked:
            self._process.send_signal(cause)
        self._was_asked = True

    def has_ended(self) -> bool:
        """Whether its process has ended; then ``error`` and ``was_stopped`` are known."""
        code = self._process.poll()
        if code is None:
            return False
        assert self._process.stdout is not None
        said = self._process.stdout.read().decode()
        # One that was asked to stop before it could take the signal has been ended by it.
        self.was_stopped = self._was_asked and (said == STOPPED or code < 0)
        self.error = said or (f"its process ended with {_cause(code)}: see {self._log}" if code else "")
        return True

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def _ended(going: Sequence[_Job], stop: StopRequest) -> Iterator[_Job]:
    time.sleep(_POLL_SECONDS)
    for job in list(going):
        if stop.cause is not None:
            job.ask_to_stop(stop.cause)
        if job.has_ended():
            yield job


def _cause(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"


def _is_whole(run: PlannedRun, origins: Origins) -> bool:
    """Whether the run's own folder has what this comparison wants, finished."""
    folder = run.config.folder
    record = read_run(folder) if folder.is_dir() else None
    if record is None or not record.is_finished:
        return False
    return not why_another(record, run.config, origins.of(run.config))
