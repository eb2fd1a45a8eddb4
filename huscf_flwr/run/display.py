"""What a person sees while a run goes on: a bar within the round, one line per round, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from huscf_flwr.evaluation.formats import byte_count
from huscf_flwr.evaluation.run_record import DIRECTIONS, byte_total, cluster_by_client, names_of, numbers
from huscf_flwr.evaluation.tables import summary_tables
from huscf_flwr.metrics import metrics_named
from huscf_flwr.run.terminal import terminal


class Display(Protocol):
    """Told how a run goes."""

    def step(self, number: int, step: int, steps: int) -> None:
        """``step`` of ``steps`` in round ``number`` is done."""
        ...

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:
        """A round is over; ``metrics`` is its line of ``metrics.jsonl``."""
        ...

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Clients have evaluated models of their own; ``line`` is the one of ``evaluations.jsonl``."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line happened."""
        ...

    def end(self, summary: Mapping[str, Any]) -> None:
        """The run is over."""
        ...


class NoDisplay:
    """Shows nothing."""

    def step(self, number: int, step: int, steps: int) -> None:
        """Show nothing."""

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:
        """Show nothing."""

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """Show nothing."""


class TerminalDisplay:
    """Shows a run in the terminal; where there is none, the bar is left out."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or terminal()
        self._progress = Progress(
            TextColumn("round {task.fields[number]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", number=0, total=None, visible=False)

    def step(self, number: int, step: int, steps: int) -> None:
        """Move the bar."""
        self._progress.start()
        self._progress.update(self._task, number=number, completed=step, total=steps, visible=True)

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:
        """Print one line."""
        self._progress.stop()
        self.note(round_line(metrics, rounds))

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Print one line."""
        self.note(evaluation_line(line))

    def note(self, text: str) -> None:
        """Print a line, however long: a path in it can be copied."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Print the table."""
        self._progress.stop()
        for table in summary_tables(summary, width=self._console.width):
            self._console.print(table)

    def __enter__(self) -> TerminalDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away, and show the cursor again, however the run has ended."""
        self._progress.stop()


class RoundOnly:
    """Shows a round that is trained to be looked at, and no end: no run is over."""

    def __init__(self, display: Display) -> None:
        """Show it on ``display``."""
        self._display = display

    def step(self, number: int, step: int, steps: int) -> None:
        """Show the step."""
        self._display.step(number, step, steps)

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:
        """Show the round."""
        self._display.round(metrics, rounds)

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Show the evaluation."""
        self._display.evaluation(line)

    def note(self, text: str) -> None:
        """Show the line."""
        self._display.note(text)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Show nothing: all rounds and scores would be told of a run that was not judged."""


def round_line(metrics: Mapping[str, Any], rounds: int) -> str:
    """Return a round in one line: losses, clusters and scores if there are any, seconds, bytes.

    Of the scores of domains it has the first that is known, in the order of the registry.
    """
    parts = [f"round {metrics['round']:>{len(str(rounds))}}/{rounds}"]
    losses = [f"{name} {value:.3f}" for name, value in numbers(metrics.get("losses"))]
    clusters = len(set(cluster_by_client(metrics).values()))
    parts += ["  ".join(losses)] if losses else []
    parts += [f"{clusters} cluster{'s' if clusters != 1 else ''}"] if clusters else []
    scores = dict(numbers(metrics.get("scores")))
    for metric in metrics_named(scores):
        parts.append(f"{metric.short or metric.title} {scores[metric.name]:.{metric.digits}f}")
    parts.append(f"{metrics['seconds']:.1f} s")
    parts.append(byte_count(sum(byte_total(metrics, direction) or 0 for direction in DIRECTIONS)))
    parts += _scores_by_domain(metrics.get("domains") or {})
    return "  |  ".join(parts)


def evaluation_line(line: Mapping[str, Any]) -> str:
    """Return in one line how clients found models of their own: mean, and worst after it."""
    without = [each["reason"] for each in line.get("drop_outs", ())]
    count = len(line["clients"])
    parts = [f"round {line['round']}: own models of {count} client{'s' if count != 1 else ''}"]
    untrained = count - line.get("trained", count)
    parts += [f"{untrained} of them never trained"] if untrained else []
    parts += [f"{len(without)} without scores, such as: {without[0]}"] if without else []
    for on, scores in line["scores"].items():
        found = [
            f"{metric.title} {scores[metric.name]['mean']:.{metric.digits}f}"
            f" (worst {scores[metric.name]['worst']:.{metric.digits}f})"
            for metric in metrics_named(scores)
            if not metric.detail
        ]
        parts.append(f"{on.replace('_', ' ')}: {', '.join(found)}")
    return "  |  ".join(parts)


def _scores_by_domain(domains: Mapping[str, Any]) -> list[str]:
    known = {name: dict(numbers(scores)) for name, scores in domains.items()}
    for metric in metrics_named(names_of(known.values()))[:1]:
        found = [
            f"{name} {scores[metric.name]:.{metric.digits}f}"
            for name, scores in known.items()
            if metric.name in scores
        ]
        return [f"{metric.title} {', '.join(found)}"]
    return []
