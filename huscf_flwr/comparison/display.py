"""What a person sees while a comparison goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from huscf_flwr.comparison.plan import PlannedRun
from huscf_flwr.evaluation.formats import duration
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.methods import method_of
from huscf_flwr.naming import by_count
from huscf_flwr.run.run_folder import read_progress
from huscf_flwr.run.terminal import terminal

_LOOK_SECONDS = 2.0


class ComparisonInTerminal:
    """A bar for the comparison and one for each run that goes on, and a line for each that has ended."""

    def __init__(self, jobs: int, console: Console | None = None) -> None:
        self._jobs = jobs
        self._console = console or terminal()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._whole = self._progress.add_task("runs", total=None, left="", visible=False)
        self._bars: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._durations = Durations()
        self._due: list[PlannedRun] = []
        self._ended = 0
        self._looked = 0.0

    def begin(self, asked: Sequence[PlannedRun], due: Sequence[PlannedRun], *, kept: Path) -> None:
        """Show how much there is to do; ``kept`` is the folder of what is there of the others."""
        self._due = list(due)
        self._progress.update(self._whole, total=len(due), visible=bool(due))
        finished = len(asked) - len(due)
        are = by_count(finished, "run is", "runs are")
        self.note(f"{_counted(asked)}: {finished} {are} there, in {kept}, {len(due)} to make")
        if due:
            self._progress.start()

    def running(self, runs: Sequence[PlannedRun]) -> None:
        """Move the bars of runs that go on."""
        now = time.monotonic()
        for run in runs:
            if run.name not in self._started:
                self._started[run.name] = now
                if self._progress.disable:
                    self.note(f"{run.name}  begins")
        if self._progress.disable or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        for run in runs:
            bar = self._bars.get(run.name)
            if bar is None:
                total = method_of(run.config).rounds(run.config)
                bar = self._bars[run.name] = self._progress.add_task(run.name, total=total, left="rounds")
            self._progress.update(bar, completed=_rounds_done(run))
        self._progress.update(self._whole, left=self._time_left(now))

    def done(self, run: PlannedRun, error: str | None) -> None:
        """Print one line."""
        self._ended += 1
        seconds = time.monotonic() - self._started.pop(run.name, time.monotonic())
        if error is None:
            self._durations.took(run, seconds)
        bar = self._bars.pop(run.name, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._due.remove(run)
        left = self._time_left(time.monotonic())
        self._progress.update(self._whole, completed=self._ended, left=left)
        said = f"failed: {error}" if error else f"made in {duration(seconds)}"
        rest = f"; {len(self._due)} to make{f', {left}' if left else ''}" if self._due else ""
        self.note(f"{run.name}  {said}{rest}")

    def note(self, text: str) -> None:
        """Print a line, however long."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> ComparisonInTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bars away, however the comparison has ended."""
        self._progress.stop()

    def _time_left(self, now: float) -> str:
        spent = sum(now - started for started in self._started.values())
        seconds = self._durations.seconds_for(self._due)
        return "" if seconds is None else f"about {duration(max(0.0, seconds - spent) / self._jobs)} left"


class Durations:
    """How long runs take here: those of a column like its others, and of a new column like all others."""

    def __init__(self) -> None:
        self._took: dict[tuple[str, str], list[float]] = {}

    def took(self, run: PlannedRun, seconds: float) -> None:
        """Note the seconds of a run that has ended well."""
        self._took.setdefault((run.scenario, run.column), []).append(seconds)

    def seconds_for(self, runs: Sequence[PlannedRun]) -> float | None:
        """Return the seconds that ``runs`` should take, one after the other; None if nothing is known."""
        if not self._took:
            return None
        means = {key: sum(seconds) / len(seconds) for key, seconds in self._took.items()}
        of_others = sum(means.values()) / len(means)
        return sum(means.get((run.scenario, run.column), of_others) for run in runs)


def _counted(runs: Sequence[PlannedRun]) -> str:
    """Return how many scenarios, methods and seeds the runs are of."""
    counts = {
        ("scenario", "scenarios"): len({run.scenario for run in runs}),
        ("method", "methods"): len({run.column for run in runs}),
        ("seed", "seeds"): len({run.seed for run in runs}),
    }
    return ", ".join(f"{count} {by_count(count, *words)}" for words, count in counts.items())


def _rounds_done(run: PlannedRun) -> float:
    folder = run.config.folder
    if not folder.is_dir():
        return 0.0
    rounds = len(read_run(folder).rounds)
    progress = read_progress(folder)
    if progress is None or progress["round"] <= rounds:
        return rounds
    return rounds + progress["step"] / progress["steps"]
