"""What the page of a comparison draws: quality over the rounds, over bytes, and beside costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Literal

from huscf_flwr.comparison.results import Column, ScenarioResults
from huscf_flwr.comparison.run_scores import agreement_by_round, both_ways_by_round, judged_by_round
from huscf_flwr.evaluation.figures import Panel
from huscf_flwr.metrics import Metric, metric_named

Quantity = Literal["bytes", "seconds"]
_MEGABYTE = 1e6
_Points = list[tuple[float, float | None]]


def rounds_panel(scenario: ScenarioResults, domain: str, metric: Metric) -> Panel:
    """Return the curves of a metric over the rounds, the mean over the seeds.

    Methods differ in how much a round is: the axis has the share of all rounds that is done.
    """
    series = {}
    for column in scenario.columns:
        total = len(next(iter(column.records.values())).rounds) if column.records else 1
        by_round = _by_round(column, domain, metric.name)
        series[column.name] = [(100 * number / total, value) for number, value in by_round.items()]
    title = f"{metric.heading} over the training"
    return Panel(title, series, metric.limits, metric.digits, x_label="percent of the rounds")


def clusters_panel(scenario: ScenarioResults) -> Panel:
    """Return the curves of how clusters agree with the true domains, over the rounds, the mean over seeds."""
    metric = metric_named("ari")
    series: dict[str, _Points] = {}
    for column in scenario.columns:
        by_round = _means([agreement_by_round(record, metric.name) for record in column.records.values()])
        series[column.name] = [(float(number), value) for number, value in by_round.items()]
    known = {name: points for name, points in series.items() if points}
    return Panel(f"{metric.heading} by round", known, metric.limits, metric.digits)


def bytes_panel(scenario: ScenarioResults, domain: str, metric: Metric) -> Panel:
    """Return the curves of a metric over what a client has sent and received, the mean over the seeds.

    Bytes are those of the first seed. Where none are told, since images are pooled, there is no curve.
    """
    series: dict[str, _Points] = {}
    for column in scenario.columns:
        is_told = column.costs is not None and column.costs.bytes_by_client
        sent = both_ways_by_round(next(iter(column.records.values()))) if is_told else {}
        by_round = _by_round(column, domain, metric.name).items()
        series[column.name] = [(sent[k] / _MEGABYTE, value) for k, value in by_round if sent.get(k, 0) > 0]
    title = f"{metric.heading} over the bytes of a client"
    return Panel(title, series, metric.limits, metric.digits, x_label="MB up and down", x_logarithmic=True)


def points_panel(scenario: ScenarioResults, domain: str, metric: Metric, quantity: Quantity) -> Panel:
    """Return a metric at the end beside what a column costs: bytes of a client, or predicted seconds."""
    values = scenario.values(domain, metric.name)
    series = {
        column.name: [(cost, values[column.name].mean)]
        if column.name in values and (cost := _cost(column, quantity))
        else []
        for column in scenario.columns
    }
    label = "MB of a client, up and down" if quantity == "bytes" else "predicted s a step, exact rule"
    title = f"{metric.heading} beside {quantity if quantity == 'bytes' else 'predicted seconds'}"
    return Panel(title, series, metric.limits, metric.digits, x_label=label, x_logarithmic=True)


def _cost(column: Column, quantity: Quantity) -> float:
    if column.costs is None:
        return 0.0
    if quantity == "bytes":
        return sum(column.costs.bytes_by_client.values()) / _MEGABYTE
    exact = column.costs.prices.get("exact")
    return 0.0 if exact is None else exact.step_s


def _by_round(column: Column, domain: str, metric: str) -> Mapping[int, float]:
    """Return the mean over the seeds of a metric after each round, of rounds that all runs judged."""
    return _means([judged_by_round(record, domain, metric) for record in column.records.values()])


def _means(runs: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the means of values by round, of the rounds that all ``runs`` have."""
    common = set.intersection(*map(set, runs)) if runs else set()
    return {number: mean(run[number] for run in runs) for number in sorted(common)}
