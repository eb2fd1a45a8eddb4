"""A run's display inside a ServerApp: Flower's own log, which `flwr run --stream` and `flwr log` show."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from huscf_flwr.evaluation.tables import summary_tables
from huscf_flwr.run.display import evaluation_line, round_line
from huscf_flwr.run.mistakes import told

LOGGER = logging.getLogger("flwr.huscf")
"""For what has to be known later too: shown in Flower's log, and kept in the run's own."""
_ENDS = "huscf: the run ends: "
SHOWN = logging.getLogger("flwr")
"""For what is only shown: the run's own log has it already, in another form."""


@contextmanager
def end_told() -> Iterator[None]:
    """Log in one line why a run ends early: Flower shows tracebacks, and ``why_ended_early`` finds this."""
    try:
        yield
    except Exception as error:
        SHOWN.error("%s%s", _ENDS, " ".join(told(error).split()))
        raise


def why_ended_early(log: str) -> str:
    """Return what ``end_told`` has written into Flower's ``log``; nothing if it has not."""
    said = [line.partition(_ENDS)[2] for line in log.splitlines() if _ENDS in line]
    return said[-1].strip() if said else ""


class LogDisplay:
    """Writes one line per round, and the table at the end; whoever watches the run's folder has a bar."""

    def step(self, number: int, step: int, steps: int) -> None:
        """Leave out what a log has no use for."""

    def round(self, metrics: Mapping[str, Any], rounds: int) -> None:
        """Log the round's line."""
        SHOWN.info("\t├──> %s", round_line(metrics, rounds))

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Log the means."""
        SHOWN.info("\t├──> %s", evaluation_line(line))

    def note(self, text: str) -> None:
        """Log a line."""
        SHOWN.info("%s", text)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Log the table."""
        console = Console(width=100, record=True, file=None, quiet=True)
        for table in summary_tables(summary, width=console.width):
            console.print(table)
        for line in console.export_text().splitlines():
            SHOWN.info("%s", line)
