"""The tables of a comparison in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from huscf_flwr.comparison.costs import Costs
from huscf_flwr.comparison.results import Column, Results, ScenarioResults, Values, best, verdict
from huscf_flwr.cuts import FlopRule, Price
from huscf_flwr.evaluation.formats import UNKNOWN, byte_count, count, decimal
from huscf_flwr.evaluation.wide_table import TableColumn, fitting_tables
from huscf_flwr.metrics import Metric, metric_named

_MARKS = {"ahead": "+", "behind": "−", "level": "="}

_COSTS = {
    "rate": False,
    "rounds": False,
    "up": False,
    "down": False,
    "GFLOP client": False,
    "GFLOP server": False,
    "s a step, exact": False,
    "s a step, paper": False,
    "memory client": False,
    "the server learns": True,
    "other clients learn": True,
}
"""Columns of costs, and whether one has words that may be wrapped."""


def comparison_tables(results: Results, *, width: int) -> Iterator[Table]:
    """Yield a table for each domain of each scenario, and one of costs for each scenario with finished runs.

    One that is wider than ``width``, in characters, comes in parts.
    """
    for scenario in results.scenarios:
        for domain in scenario.domains:
            yield from _scores(results, scenario, domain, width)
        if scenario.domains:
            yield from _costs(scenario, width)


def legend(results: Results) -> Iterator[str]:
    """Yield the sentences that explain the tables."""
    yield "Scores: mean over the seeds; least and most below it, if there are several."
    if any(len(column.records) > 1 for scenario in results.scenarios for column in scenario.columns):
        yield (
            f"Bold: the best, and what cannot be told from it. A mark says how a method does beside "
            f"{results.reference}: + ahead, − behind, = no difference beyond the spread of the seeds."
        )
    yield (
        "Costs: bytes are counted, of a client in a whole run. Arithmetic (by the exact rule) and seconds of "
        "a step are predicted for the configured devices, with what crosses once a round spread over its "
        "steps; in brackets without the slowest class of devices. Memory is the most bytes of tensors that a "
        "client has at once, by what it is doing, where compute.measure_memory was true."
    )


def _scores(results: Results, scenario: ScenarioResults, domain: str, width: int) -> Iterator[Table]:
    """Yield the table of one domain: the mean over the seeds, and below it the range."""
    scores = [_metric_column(results, scenario, domain, metric) for metric in scenario.metrics(domain)]
    if scenario.has_clusters_to_tell:
        scores.append(_agreement_column(scenario))
    runs = TableColumn("seeds", [Text(_runs(column)) for column in scenario.columns])
    title = f"{results.name}, {scenario.name}: {domain}"
    yield from fitting_tables(title, [_names(scenario), runs], scores, width=width)


def _names(scenario: ScenarioResults) -> TableColumn:
    return TableColumn("method", [Text(column.name) for column in scenario.columns], "left")


def _metric_column(results: Results, scenario: ScenarioResults, domain: str, metric: Metric) -> TableColumn:
    known = scenario.values(domain, metric.name)
    first = best(known, metric)
    against = known.get(results.reference)
    cells = [
        _cell(known.get(column.name), against, metric, bold=column.name in first)
        for column in scenario.columns
    ]
    return TableColumn(metric.short or metric.title, cells)


def _agreement_column(scenario: ScenarioResults) -> TableColumn:
    ari = metric_named("ari")
    cells = [_cell(column.clustering.get(ari.name), None, ari, bold=False) for column in scenario.columns]
    return TableColumn(ari.short or ari.title, cells)


def _cell(values: Values | None, against: Values | None, metric: Metric, *, bold: bool) -> Text:
    if values is None:
        return Text(UNKNOWN)
    text = Text(decimal(values.mean, metric.digits), style="bold" if bold else "")
    said = None if against is None or against is values else verdict(values, against, metric)
    text.append(f" {_MARKS[said]}" if said else "", style="not bold")
    if len(values.by_seed) > 1:
        spread = f"\n{decimal(values.least, metric.digits)}–{decimal(values.most, metric.digits)}"
        text.append(spread, style="not bold dim")
    return text


def _runs(column: Column) -> str:
    failed = f", {len(column.failures)} failed" if column.failures else ""
    return f"{len(column.records)}{failed}"


def _costs(scenario: ScenarioResults, width: int) -> Iterator[Table]:
    rows = [
        [
            f"{column.learning_rate:g}",
            *(_cost_cells(column.costs) if column.costs else [UNKNOWN] * (len(_COSTS) - 1)),
        ]
        for column in scenario.columns
    ]
    costs = [
        TableColumn(heading, [Text(row[place]) for row in rows], "left" if prose else "right", prose)
        for place, (heading, prose) in enumerate(_COSTS.items())
    ]
    title = f"{scenario.name}: what it costs, and what it shows"
    yield from fitting_tables(title, [_names(scenario)], costs, width=width)


def _cost_cells(costs: Costs) -> list[str]:
    exact = costs.prices.get("exact")
    return [
        count(costs.rounds),
        byte_count(costs.bytes_by_client.get("up")),
        byte_count(costs.bytes_by_client.get("down")),
        UNKNOWN if exact is None else decimal(exact.client_gflop, 2),
        UNKNOWN if exact is None else decimal(exact.server_gflop, 2),
        _seconds(costs, "exact"),
        _seconds(costs, "paper"),
        "\n".join(f"{phase} {byte_count(count)}" for phase, count in costs.memory.items()) or UNKNOWN,
        ", ".join(costs.shows_server) or "nothing",
        ", ".join(costs.shows_clients) or "nothing",
    ]


def _seconds(costs: Costs, rule: FlopRule) -> str:
    def of(price: Price | None) -> str:
        return UNKNOWN if price is None else decimal(price.step_s, 3)

    return f"{of(costs.prices.get(rule))} ({of(costs.without_slowest.get(rule))})"
