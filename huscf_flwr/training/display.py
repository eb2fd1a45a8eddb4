"""What a person sees while a run goes on: a bar within the round, one line per round, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from huscf_flwr.evaluation.tables import summary_table


class Display(Protocol):
    """Told how a run goes."""

    def step(self, number: int, step: int, steps: int) -> None:
        """``step`` of ``steps`` in round ``number`` is done."""
        ...

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:
        """A round is over; ``metrics`` is its line of ``metrics.jsonl``."""
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

    def note(self, text: str) -> None:
        """Show nothing."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """Show nothing."""


class TerminalDisplay:
    """Shows a run in the terminal; where there is none, the bar is left out."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
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
        self._console.print(round_line(metrics, rounds), highlight=False)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Print the table."""
        self._progress.stop()
        self._console.print(summary_table(summary))


def round_line(metrics: Mapping[str, Any], rounds: int) -> str:
    """Return losses, clusters, seconds, bytes and, if judged, label fidelity of a round in one line."""
    count = len(set(metrics["clusters"]))
    traffic = metrics["bytes"]["up"] + metrics["bytes"]["down"]
    parts = [
        f"round {metrics['round']:>{len(str(rounds))}}/{rounds}",
        f"D {metrics['losses']['discriminator']:.3f}  G {metrics['losses']['generator']:.3f}",
        f"{count} cluster{'s' if count != 1 else ''}",
        f"{metrics['seconds']:.1f} s",
        f"{traffic / 1e6:,.0f} MB",
    ]
    if metrics["ari"] is not None:
        parts.insert(3, f"ARI {metrics['ari']:.2f}")
    for name, scores in metrics.get("domains", {}).items():
        parts.append(f"{name} {scores['label_fidelity']:.2f}")
    return "  |  ".join(parts)
