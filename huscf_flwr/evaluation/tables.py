"""The short table that a run ends with in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from huscf_flwr.evaluation.formats import UNKNOWN, byte_count, count, decimal, duration, known_number
from huscf_flwr.evaluation.run_record import part

_SCORES = (
    ("label fidelity", "label_fidelity", 3),
    ("TSTR accuracy", "tstr_accuracy", 3),
    ("TSTR F1", "tstr_f1", 3),
    ("generation score", "generation_score", 2),
    ("FID", "fid", 1),
)


def summary_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of what `summary.json` says: one row a domain, the run as a whole above and below.

    Where nobody knows the domains there is one row a cluster, with the means of its clients' own scores. What
    is not known is a dash; without anything judged there is one row of dashes.
    """
    name = str(summary.get("name") or "run")
    title = f"{name}: {count(summary.get('rounds'))} rounds in {duration(summary.get('seconds'))}"
    table = Table(title=Text(title), caption=Text(_caption(summary)), title_justify="left")
    table.caption_justify = "left"
    table.add_column("domain")
    table.add_column("cluster", justify="right")
    for heading, _, _ in _SCORES:
        table.add_column(heading, justify="right")
    for domain, scores in _judged(summary):
        values = [decimal(scores.get(key), digits) for _, key, digits in _SCORES]
        table.add_row(Text(domain), count(scores.get("cluster")), *values)
    return table


def _judged(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    domains = summary.get("domains")
    if domains:
        return [(str(domain), scores or {}) for domain, scores in sorted(domains.items())]
    clusters = part(summary, "clusters", "client_scores") or {}
    return [
        (UNKNOWN, {"cluster": int(cluster), **scores}) for cluster, scores in sorted(clusters.items())
    ] or [(UNKNOWN, {})]


def _caption(summary: Mapping[str, Any]) -> str:
    clusters = count(part(summary, "clusters", "count"))
    words = [f"{clusters} {'cluster' if clusters == '1' else 'clusters'}"]
    ari = part(summary, "clusters", "ari")
    if known_number(ari) is not None:
        words.append(f"adjusted Rand index {decimal(ari, 2)}")
    words.append(f"{byte_count(part(summary, 'bytes', 'up'))} up")
    words.append(f"{byte_count(part(summary, 'bytes', 'down'))} down")
    return " · ".join(words)
