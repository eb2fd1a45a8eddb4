"""The short table that a run ends with in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from huscf_flwr.evaluation.formats import UNKNOWN, byte_count, count, decimal, duration, known_number
from huscf_flwr.evaluation.run_record import in_counting_order, names_of, part
from huscf_flwr.evaluation.wide_table import TableColumn, tables_that_fit
from huscf_flwr.metrics import Metric, metric_named, metrics_named


def summary_tables(summary: Mapping[str, Any], *, width: int) -> Iterator[Group]:
    """Yield the table of what `summary.json` says, in parts if it is wider than ``width``, in characters.

    It has one row a domain, the run as a whole above, and below the last part. If the domains are unknown,
    there is one row per product, with the means of its clients' own scores. The columns are what was
    measured, without details. What is not known is a dash; without anything judged there is one row of them.
    """
    name = str(summary.get("name") or "run")
    rounds = summary.get("rounds")
    word = "round" if rounds == 1 else "rounds"
    rows = _judged(summary)
    yield from tables_that_fit(
        f"{name}: {count(rounds)} {word} in {duration(summary.get('seconds'))}",
        [
            TableColumn("domain", [Text(domain) for domain, _, _ in rows], "left"),
            TableColumn("product", [Text(product) for _, product, _ in rows], "left"),
        ],
        [
            TableColumn(
                metric.short or metric.title,
                [Text(decimal(scores.get(metric.name), metric.digits)) for _, _, scores in rows],
            )
            for metric in _columns([scores for _, _, scores in rows])
        ],
        width=width,
        caption=_caption(summary),
    )


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
    return [metric for metric in metrics_named(names_of(measured)) if not metric.detail]


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
