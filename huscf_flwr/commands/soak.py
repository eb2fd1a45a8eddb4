"""``huscf soak``: train with clients that fail at random."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from huscf_flwr.run.terminal import terminal
from huscf_flwr.soak.resources import RESOURCES, early_and_late, grown
from huscf_flwr.soak.rounds import Books, soak


def soak_command(
    minutes: Annotated[float, typer.Option(min=0.01, help="how long")] = 10.0,
    clients: Annotated[int, typer.Option(min=3, help="each a process of its own")] = 6,
    rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="of faults, by client and round")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="of the faults")] = 0,
) -> None:
    """Train with clients that fail at random, and see that nothing is lost, left over or unaccounted for.

    Each client is a process with a stream of its own that may be killed, hang, be slow or send invalid
    frames. The clients that fail must drop out of their rounds, and no others; memory, descriptors and
    threads of the server must not grow. Otherwise the exit code is 1.
    """
    console = terminal()
    with (
        tempfile.TemporaryDirectory() as folder,
        soak(clients, rate, seed, Path(folder)) as prepared,
        Progress(
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as bar,
    ):
        task = bar.add_task("first round", total=60 * minutes)

        def show(seconds: float, books: Books) -> None:
            done = f"{books.rounds} rounds, {books.injected.total()} faults"
            bar.update(task, completed=seconds, description=done)

        books = prepared.run(60 * minutes, show)
    console.print(_table(books))
    problems = [*books.wrong, *grown(books.resources)]
    for problem in problems:
        console.print(str(problem), style="red", highlight=False, markup=False)
    if problems:
        raise typer.Exit(1)


def _table(books: Books) -> Table:
    table = Table(title="Soak", show_header=False)
    table.add_row("rounds finished", str(books.rounds))
    table.add_row("rounds given up for too few clients", str(books.given_up))
    for kind, count in sorted(books.injected.items()):
        table.add_row(f"fault: {kind}", str(count))
    table.add_row("not accounted for", str(len(books.wrong)))
    parts = early_and_late(books.resources) or (books.resources, books.resources)
    for name in RESOURCES:
        early, late = (median(getattr(each, name) for each in part) for part in parts)
        table.add_row(f"{name}, second quarter and last", f"{early:.0f}, {late:.0f}")
    return table
