"""The tables of a comparison in the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rich.console import Group
from rich.text import Text

from huscf_flwr.comparison.costs import Costs
from huscf_flwr.comparison.results import (
    ABOUT_BYTES_TO_TARGETS,
    Column,
    Results,
    ScenarioResults,
    Values,
    best,
    verdict,
)
from huscf_flwr.comparison.run_scores import OWN_MODELS
from huscf_flwr.cuts import FlopRule, Price
from huscf_flwr.evaluation.domain_scores import LEAST_ACCURACY
from huscf_flwr.evaluation.formats import UNKNOWN, byte_count, count, decimal
from huscf_flwr.evaluation.wide_table import TableColumn, tables_that_fit
from huscf_flwr.metrics import Metric, metric_named

_MARKS = {"ahead": "+", "behind": "−", "level": "="}
_PROSE = ("the server learns", "other clients learn")
"""Headings of what is told in words."""


def comparison_tables(results: Results, *, width: int, asked: Collection[str] = ()) -> Iterator[Group]:
    """Yield a table for each domain of each scenario, and one of costs, if a run of it is finished.

    One that is wider than ``width``, in characters, comes in parts. If scores are ``asked`` for by name, the
    tables have no others.
    """
    for scenario in results.scenarios:
        for domain in scenario.domains:
            yield from _scores(results, scenario, domain, asked, width)
        if scenario.has_finished_runs:
            yield from _costs(scenario, width)


def legend(results: Results, asked: Collection[str] = ()) -> Iterator[str]:
    """Yield the sentences that explain the tables of the scores ``asked`` for, or that there are none."""
    scenarios = [scenario for scenario in results.scenarios if scenario.has_finished_runs]
    if not scenarios:
        yield "No run is finished yet."
        return
    repeated = [c for scenario in scenarios for c in scenario.columns if len(c.records) > 1]
    yield "Scores: mean over the seeds; least and most below it, if there are several."
    judged = [(scenario, domain) for scenario in scenarios for domain in scenario.domains]
    if any(domain == OWN_MODELS for _, domain in judged):
        yield "Own models are scored on test images, and at home (there), on what each client has held out."
    if repeated:
        yield "Bold: the best, and what cannot be told from it."
    if any(not asked or name in asked for name in results.targets):
        yield ABOUT_BYTES_TO_TARGETS
    if any(column.name == results.reference for column in repeated):
        yield (
            f"A mark says how a method does beside {results.reference}: + ahead, − behind, = no difference "
            "beyond the spread of the seeds."
        )
    if any(scenario.is_doubtful(domain, metric_named("fid")) for scenario, domain in judged):
        yield (
            f"A question mark: the judge finds fewer than {LEAST_ACCURACY:.0%} of the labels of real test "
            "images, so that what it says of drawn ones means little."
        )
    known = results.metric_names
    for name in asked:
        if name not in known:
            yield f"Of {metric_named(name).title} nothing is known in any of these runs."
    yield (
        "Costs: rates are the learning rates of what clients train. Bytes are counted, of a client in a "
        "whole run. Arithmetic (by the exact rule) and seconds of a step are predicted for the devices, "
        "with what crosses once a round spread over its steps; in brackets without the slowest class of "
        "devices. Memory is the most bytes of tensors that a client has at once, by what it is doing, where "
        "compute.measure_memory was true."
    )


def _scores(
    results: Results, scenario: ScenarioResults, domain: str, asked: Collection[str], width: int
) -> Iterator[Group]:
    """Yield the table of one domain, if it has any score: the mean over the seeds, and below it the range."""
    metrics = scenario.metrics(domain, asked)
    scores = [_metric_column(results, scenario, domain, metric) for metric in metrics]
    if scenario.has_clusters_to_tell and (not asked or "ari" in asked):
        scores.append(_agreement_column(scenario))
    scores += [
        _bytes_column(scenario, domain, metric, results.targets[metric.name])
        for metric in metrics
        if metric.name in results.targets
    ]
    if not scores:
        return
    runs = TableColumn("seeds", [Text(_runs(column)) for column in scenario.columns])
    title = f"{results.name}, {scenario.name}: {domain}"
    yield from tables_that_fit(title, [_names(scenario), runs], scores, width=width)


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
    doubt = "?" if scenario.is_doubtful(domain, metric) else ""
    return TableColumn(f"{metric.short or metric.title}{doubt}", cells)


def _agreement_column(scenario: ScenarioResults) -> TableColumn:
    ari = metric_named("ari")
    cells = [_cell(column.clustering.get(ari.name), None, ari, bold=False) for column in scenario.columns]
    return TableColumn(ari.short or ari.title, cells)


def _bytes_column(scenario: ScenarioResults, domain: str, metric: Metric, target: float) -> TableColumn:
    sent = [column.bytes_to_targets.get(domain, {}).get(metric.name) for column in scenario.columns]
    cells = [Text(UNKNOWN if each is None else each.told) for each in sent]
    return TableColumn(scenario.target_heading(domain, metric, target), cells)


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


def _costs(scenario: ScenarioResults, width: int) -> Iterator[Group]:
    shown = [
        TableColumn("rate", [Text("\n".join(f"{r:g}" for r in c.learning_rates)) for c in scenario.columns])
    ]
    known = [_cost_cells(column.costs) if column.costs else {} for column in scenario.columns]
    for heading in next(filter(None, known), {}):
        cells = [Text(costs.get(heading, UNKNOWN)) for costs in known]
        if all(cell.plain == UNKNOWN for cell in cells):
            continue
        is_prose = heading in _PROSE
        shown.append(TableColumn(heading, cells, "left" if is_prose else "right", is_prose))
    title = f"{scenario.name}: what it costs, and what it shows"
    yield from tables_that_fit(title, [_names(scenario)], shown, width=width)


def _cost_cells(costs: Costs) -> dict[str, str]:
    """Return what is shown of costs, by heading."""
    exact = costs.prices.get("exact")
    memory = [f"{phase} {byte_count(count)}" for phase, count in costs.memory.items()]
    server_learns, clients_learn = _PROSE
    return {
        "rounds": count(costs.rounds),
        "up": byte_count(costs.bytes_by_client.get("up")),
        "down": byte_count(costs.bytes_by_client.get("down")),
        "GFLOP client": UNKNOWN if exact is None else decimal(exact.client_gflop, 2),
        "GFLOP server": UNKNOWN if exact is None else decimal(exact.server_gflop, 2),
        "s a step, exact": _seconds(costs, "exact"),
        "s a step, paper": _seconds(costs, "paper"),
        "memory client": "\n".join(memory) or UNKNOWN,
        server_learns: ", ".join(costs.shows_server) or "nothing",
        clients_learn: ", ".join(costs.shows_clients) or "nothing",
    }


def _seconds(costs: Costs, rule: FlopRule) -> str:
    def of(price: Price | None) -> str:
        return UNKNOWN if price is None else decimal(price.step_s, 3)

    all_classes, rest = costs.prices.get(rule), costs.without_slowest.get(rule)
    return of(all_classes) if rest is None else f"{of(all_classes)} ({of(rest)})"
