"""The report's charts: every number that the rounds have, drawn as curves."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.figure import Figure

from huscf_flwr.evaluation.figures import Panel, curves, themed_svg
from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import RunRecord, names_of, numbers, part
from huscf_flwr.metrics import metrics_named

_ROUND_COLOUR = 2
"""The first colours of the palette are the domains'."""

_Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class Chart:
    """A drawing of curves as a data URI."""

    title: str
    source: str


def charts(record: RunRecord) -> tuple[Chart, ...]:
    """Draw the curves of everything that has at least one known value."""
    return tuple(chart for panel in _panels(record) for chart in drawn(panel))


def drawn(panel: Panel, draw: Callable[[Sequence[Panel]], Figure] = curves) -> Iterator[Chart]:
    """Yield the drawing of a panel, which has its title beside it; nothing for one without known values."""
    if not panel.is_empty():
        yield Chart(panel.title, _svg_uri(themed_svg(draw([replace(panel, title="")]))))


def _panels(record: RunRecord) -> Iterable[Panel]:
    losses = {name: _series(record, "losses", name) for name in _names(record, "losses")}
    yield Panel("Loss", losses, digits=3, first_colour=_ROUND_COLOUR)
    yield from _domain_panels(record)
    yield from _own_model_panels(record)
    yield from _round_panels(record)


def _domain_panels(record: RunRecord) -> Iterator[Panel]:
    """Yield one panel a score; a score that is known once only, at the end, is no curve."""
    domains = record.domains
    for metric in metrics_named(names_of(dict(numbers(scores)) for scores in domains.values())):
        series = {name: _series(record, "domains", name, metric.name) for name in domains}
        # An empty curve stays, so that each domain has the same colour in all panels.
        shown = {name: points if len(points) > 1 else [] for name, points in series.items()}
        yield Panel(metric.heading, shown, metric.limits, metric.digits)


def _own_model_panels(record: RunRecord) -> Iterator[Panel]:
    """Yield one panel for each score of models that stay on clients: means over clients, and the worst."""
    groups = names_of(part(line, "scores") or {} for line in record.evaluations)
    names = names_of(part(line, "scores", on) or {} for line in record.evaluations for on in groups)
    for metric in metrics_named(names):
        series = {
            f"{on.replace('_', ' ')}, {statistic}": _points(
                record.evaluations, "scores", on, metric.name, statistic
            )
            for on in groups
            for statistic in ("mean", "worst")
        }
        title = f"{metric.heading} of own models"
        yield Panel(title, series, metric.limits, metric.digits, first_colour=_ROUND_COLOUR)


def _round_panels(record: RunRecord) -> Iterator[Panel]:
    """Yield the panels of what is known of a round as a whole; what belongs together shares one."""
    group_of = {name: group for group in ("facts", "scores") for name in _names(record, group)}
    panels: dict[str, Panel] = {}
    for metric in metrics_named(group_of):
        if metric.detail:
            continue
        title = metric.chart or metric.heading
        empty = Panel(title, {}, metric.limits, metric.digits, first_colour=_ROUND_COLOUR)
        panel = panels.get(title, empty)
        curve = {metric.short or metric.title: _series(record, group_of[metric.name], metric.name)}
        panels[title] = replace(panel, series={**panel.series, **curve})
    yield from panels.values()


def _names(record: RunRecord, group: str) -> list[str]:
    return names_of(dict(numbers(entry.get(group))) for entry in record.rounds)


def _series(record: RunRecord, *keys: str) -> _Points:
    """Return (round, value) of the rounds where it is known: a score of every third round is a curve too."""
    return _points(record.rounds, *keys)


def _points(lines: Iterable[Mapping[str, Any]], *keys: str) -> _Points:
    points = [(float(line["round"]), known_number(part(line, *keys))) for line in lines]
    return [(number, value) for number, value in points if value is not None]


def _svg_uri(drawing: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()
