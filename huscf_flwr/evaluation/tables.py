"""The short table that a run ends with in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from huscf_flwr.evaluation.formats import UNKNOWN, byte_count, count, decimal, duration, known_number
from huscf_flwr.evaluation.run_record import in_counting_order, names_of, part
from huscf_flwr.metrics import Metric, metric_named, metrics_named

_MOST_COLUMNS = 7
"""Numbers that fit beside each other into 80 columns."""
_F1 = "F1"
"""Left out where there are more: it says much the same as the accuracy beside it."""


def summary_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of what `summary.json` says: one row a domain, the run as a whole above and below.

    If the domains are unknown, there is one row per product, with the means of its clients' own scores. The
    columns are what was measured, without details. What is not known is a dash; without anything judged
    there is one row of dashes.
    """
    name = str(summary.get("name") or "run")
    rounds = summary.get("rounds")
    word = "round" if rounds == 1 else "rounds"
    title = f"{name}: {count(rounds)} {word} in {duration(summary.get('seconds'))}"
    table = Table(title=Text(title), caption=Text(_caption(summary)), title_justify="left")
    table.caption_justify = "left"
    rows = _judged(summary)
    metrics = _columns([scores for _, _, scores in rows])
    table.add_column("domain", overflow="fold")
    table.add_column("product", overflow="fold")
    for metric in metrics:
        table.add_column(metric.short or metric.title, justify="right", overflow="fold")
    for domain, product, scores in rows:
        values = [decimal(scores.get(metric.name), metric.digits) for metric in metrics]
        table.add_row(Text(domain), Text(product), *values)
    return table


def _judged(summary: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return domain, product and scores of each row."""
    domains = summary.get("domains")
    if domains:
        judged = {str(domain): dict(scores or {}) for domain, scores in sorted(domains.items())}
        return [(domain, scores.pop("product", UNKNOWN), scores) for domain, scores in judged.items()]
    products = part(summary, "products") or {}
    said = {name: part(products, name, "client_scores") for name in sorted(products, key=in_counting_order)}
    return [(UNKNOWN, name, scores) for name, scores in said.items() if scores] or [(UNKNOWN, UNKNOWN, {})]


def _columns(rows: list[Mapping[str, Any]]) -> list[Metric]:
    measured = [{name: value for name, value in row.items() if not isinstance(value, str)} for row in rows]
    found = [metric for metric in metrics_named(names_of(measured)) if not metric.detail]
    if len(found) <= _MOST_COLUMNS:
        return found
    return [metric for metric in found if not metric.title.endswith(_F1)]


def _caption(summary: Mapping[str, Any]) -> str:
    words = []
    clusters = known_number(part(summary, "clusters", "count"))
    if clusters is not None:
        words.append(f"{count(clusters)} {'cluster' if clusters == 1 else 'clusters'}")
    ari = metric_named("ari")
    agreement = part(summary, "clusters", ari.name)
    if known_number(agreement) is not None:
        words.append(f"{ari.title} {decimal(agreement, ari.digits)}")
    words.append(f"{byte_count(part(summary, 'bytes', 'up'))} up")
    words.append(f"{byte_count(part(summary, 'bytes', 'down'))} down")
    return " · ".join(words)
