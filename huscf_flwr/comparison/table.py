"""The tables of a comparison in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from huscf_flwr.comparison.costs import Costs
from huscf_flwr.comparison.results import Column, Results, ScenarioResults, Values, best, verdict
from huscf_flwr.cuts import FlopRule, Price
from huscf_flwr.evaluation.formats import UNKNOWN, byte_count, count, decimal
from huscf_flwr.metrics import Metric, metric_named

_MARKS = {"ahead": "+", "behind": "−", "level": "="}


def comparison_tables(results: Results) -> Iterator[Table]:
    """Yield a table for each domain of each scenario, and one of costs for each scenario."""
    for scenario in results.scenarios:
        for domain in scenario.domains:
            yield _scores(results, scenario, domain)
        yield _costs(scenario)


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


def _scores(results: Results, scenario: ScenarioResults, domain: str) -> Table:
    """Return the table of one domain: the mean over the seeds, and below it the range."""
    table = _titled(f"{results.name}, {scenario.name}: {domain}")
    table.add_column("method")
    table.add_column("seeds", justify="right")
    metrics = scenario.metrics(domain)
    ari = metric_named("ari")
    shown = (*metrics, ari) if scenario.has_clusters_to_tell else metrics
    for metric in shown:
        table.add_column(metric.short or metric.title, justify="right")
    firsts = {metric.name: best(scenario.values(domain, metric.name), metric) for metric in metrics}
    against = next((c.domains.get(domain, {}) for c in scenario.columns if c.name == results.reference), {})
    for column in scenario.columns:
        scores = column.domains.get(domain, {})
        cells = [
            _cell(scores.get(each.name), against.get(each.name), each, bold=column.name in firsts[each.name])
            for each in metrics
        ]
        if scenario.has_clusters_to_tell:
            cells.append(_cell(column.clustering.get(ari.name), None, ari, bold=False))
        table.add_row(Text(column.name), Text(_runs(column)), *cells)
    return table


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


def _costs(scenario: ScenarioResults) -> Table:
    table = _titled(f"{scenario.name}: what it costs, and what it shows")
    for name, justify in (
        ("method", "left"),
        ("rate", "right"),
        ("rounds", "right"),
        ("up", "right"),
        ("down", "right"),
        ("GFLOP client", "right"),
        ("GFLOP server", "right"),
        ("s a step, exact", "right"),
        ("s a step, paper", "right"),
        ("memory client", "right"),
        ("the server learns", "left"),
        ("other clients learn", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for column in scenario.columns:
        table.add_row(
            Text(column.name), Text(f"{column.learning_rate:g}"), *map(Text, _cost_cells(column.costs))
        )
    return table


def _cost_cells(costs: Costs | None) -> list[str]:
    if costs is None:
        return [UNKNOWN] * 10
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


def _titled(title: str) -> Table:
    return Table(title=Text(title), title_justify="left")
