"""What the sections about the run as a whole say, as plain data without any HTML.

Values stay numbers (or are absent where nothing is known) and are formatted by the page.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import (
    DIRECTIONS,
    RunRecord,
    SampleGrid,
    byte_total,
    in_counting_order,
    items,
    names_of,
    numbers,
    part,
)
from huscf_flwr.metrics import Metric, metrics_named

EARLIER_ROUNDS_SHOWN = 6
_MEANINGS = {
    "test": "Test images are those of the client’s own domain; on a device, those that its owner has put "
    "there. No client trains on them.",
    "held out": "Held out images are the client’s own that it did not train on.",
    "generated": "Generated images are what the client’s model draws. They are judged by a classifier that "
    "was trained on the training images of the client’s domain, or on a device on its owner’s, and FID "
    "compares with the same images; only TSTR needs test images.",
}
_OF_LOCK_STEP = ("cuts", "executor")
"""Sections that only methods with steps use."""


@dataclass(frozen=True)
class KeyFigures:
    """The run as a whole."""

    rounds: int
    clients: int | None
    pooled: bool
    """Whether what counts as a client is a pool of the images of several."""
    clusters: int | None
    scores: Mapping[str, float]
    seconds: float | None
    up: float | None
    down: float | None

    @property
    def metrics(self) -> list[Metric]:
        """What there are scores of."""
        return metrics_named(self.scores)


@dataclass(frozen=True)
class ScoreTable:
    """Scores of domains, or of products on clients' own images."""

    metrics: tuple[Metric, ...]
    rows: tuple[tuple[str, str | None, Mapping[str, float]], ...]
    """Domain or product, the product that was judged, scores by name."""

    @property
    def judged(self) -> tuple[str, ...]:
        """The products that were judged, each once."""
        return tuple(dict.fromkeys(product for _, product, _ in self.rows if product is not None))


@dataclass(frozen=True)
class OwnModels:
    """How clients found models of their own, after a round."""

    round: int | None
    metrics: tuple[Metric, ...]
    rows: tuple[tuple[str, str, Mapping[str, float]], ...]
    """Which images, which statistic over the clients, values by metric."""
    meanings: Mapping[str, str]
    """Which images these are, in a sentence."""
    clients: int
    """Those that have scores."""
    untrained: int
    """Those of them that have not trained yet."""
    drop_outs: int
    """Those whose models gave nothing to score."""


@dataclass(frozen=True)
class ProductSamples:
    """What one product drew: the latest grid (`height` pixels high), and some of those before."""

    product: str
    domains: tuple[str, ...]
    clients: int | None
    latest_round: int
    latest: str
    height: int
    earlier: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class TrafficRow:
    """All bytes of one kind in one direction, with their share of all traffic."""

    kind: str
    direction: str
    total: float
    share: float


def key_figures(record: RunRecord) -> KeyFigures:
    """Return the figures that describe the run as a whole, as far as it went."""
    said = {direction: known_number(part(record.summary, "bytes", direction)) for direction in DIRECTIONS}
    counted = {
        direction: _sum(byte_total(entry, direction) for entry in record.rounds) for direction in DIRECTIONS
    }
    seconds = known_number(record.summary.get("seconds"))
    if seconds is None:
        seconds = _sum(known_number(entry.get("seconds")) for entry in record.rounds)
    return KeyFigures(
        rounds=len(record.rounds) or int(known_number(record.summary.get("rounds")) or 0),
        clients=len(record.clients) or None,
        pooled=bool(part(record.described, "pooled")),
        clusters=_cluster_count(record),
        scores=_last_scores(record),
        seconds=seconds,
        up=counted["up"] if said["up"] is None else said["up"],
        down=counted["down"] if said["down"] is None else said["down"],
    )


def domain_scores(record: RunRecord) -> ScoreTable:
    """Return the last known scores of each domain."""
    rows = [(name, scores.get("product"), dict(numbers(scores))) for name, scores in record.domains.items()]
    return _score_table(rows)


def client_scores(record: RunRecord) -> ScoreTable:
    """Return what clients found on their own test images, by product."""
    return _score_table([(name, None, scores) for name, scores in record.client_scores.items()])


def own_models(record: RunRecord) -> OwnModels:
    """Return how clients last found models of their own."""
    line = record.evaluations[-1] if record.evaluations else {}
    scores = part(line, "scores") or {}
    clients = len(items(line, "clients"))
    trained = known_number(line.get("trained"))
    return OwnModels(
        round=line.get("round"),
        meanings=_MEANINGS,
        metrics=tuple(metrics_named(names_of(scores.values()))),
        rows=tuple(
            (on.replace("_", " "), statistic, _statistic(spreads, statistic))
            for on, spreads in scores.items()
            for statistic in ("mean", "worst", "spread")
        ),
        clients=clients,
        untrained=0 if trained is None else clients - int(trained),
        drop_outs=len(items(line, "drop_outs")),
    )


def colours(record: RunRecord) -> dict[str, int]:
    """Return the place in the palette of each product: that of its cluster, if all its clients are of one."""
    judged = [scores["product"] for scores in record.domains.values() if "product" in scores]
    names = {*record.products, *judged, *(grid.product for grid in record.samples)}
    clusters = record.clusters
    found = {}
    for place, name in enumerate(sorted(names, key=in_counting_order)):
        own = {clusters.get(client) for client in record.products.get(name, ())}
        cluster = own.pop() if len(own) == 1 else None
        found[name] = place if cluster is None else cluster
    return found


def product_samples(record: RunRecord) -> tuple[ProductSamples, ...]:
    """Return the sample grids of each product that the latest pictured round has."""
    if not record.samples:
        return ()
    latest_round = max(grid.round for grid in record.samples)
    return tuple(_samples_of(record, grid.product) for grid in record.samples if grid.round == latest_round)


def traffic(record: RunRecord) -> tuple[TrafficRow, ...]:
    """Return the bytes of all rounds by direction and kind, the largest first, those up before those down."""
    totals: Counter[tuple[str, str]] = Counter()
    for entry in record.rounds:
        for direction in DIRECTIONS:
            for kind, value in numbers(part(entry, "bytes", direction)):
                totals[direction, kind] += int(value)
    everything = sum(totals.values()) or 1
    rows = [
        TrafficRow(kind, direction, total, total / everything) for (direction, kind), total in totals.items()
    ]
    return tuple(sorted(rows, key=lambda row: (DIRECTIONS.index(row.direction), -row.total, row.kind)))


def settings(record: RunRecord) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
    """Return the configuration as titled groups of names and values, the run's own settings first.

    Where no round had steps that clients take together, what is about these only is left out.
    """
    own = {key: value for key, value in record.config.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in record.config.items() if isinstance(value, Mapping)}
    if record.rounds and all(entry.get("step_seconds") is None for entry in record.rounds):
        sections = {key: value for key, value in sections.items() if key not in _OF_LOCK_STEP}
    groups = {"run": own, **sections}
    return tuple((name, tuple(_flat(group))) for name, group in groups.items() if group)


def _statistic(spreads: Mapping[str, Any], statistic: str) -> dict[str, float]:
    found = {name: known_number(part(spread, statistic)) for name, spread in spreads.items()}
    return {name: value for name, value in found.items() if value is not None}


def _score_table(rows: Sequence[tuple[str, str | None, Mapping[str, float]]]) -> ScoreTable:
    return ScoreTable(tuple(metrics_named(names_of(scores for _, _, scores in rows))), tuple(rows))


def _last_scores(record: RunRecord) -> dict[str, float]:
    """Return the last known scores of the run as a whole."""
    found: dict[str, float] = {}
    for entry in record.rounds:
        found |= numbers(entry.get("scores"))
    ari = known_number(part(record.summary, "clusters", "ari"))
    return found if ari is None else {**found, "ari": ari}


def _cluster_count(record: RunRecord) -> int | None:
    said = known_number(part(record.summary, "clusters", "count"))
    return len(set(record.clusters.values())) or None if said is None else int(said)


def _samples_of(record: RunRecord, product: str) -> ProductSamples:
    *earlier, latest = (grid for grid in record.samples if grid.product == product)
    judged = [name for name, scores in record.domains.items() if scores.get("product") == product]
    return ProductSamples(
        product=product,
        domains=tuple(judged),
        clients=len(record.products.get(product, ())) or None,
        latest_round=latest.round,
        latest=png_uri(latest.path),
        height=_png_height(latest),
        earlier=tuple((grid.round, png_uri(grid.path)) for grid in _evenly(earlier, EARLIER_ROUNDS_SHOWN)),
    )


def png_uri(path: Path) -> str:
    """Return a picture as an address that has all of it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _png_height(grid: SampleGrid) -> int:
    # The header chunk comes first in every PNG: width in bytes 16 to 19, height in 20 to 23.
    return int.from_bytes(grid.path.read_bytes()[20:24], "big")


def _evenly(grids: Sequence[SampleGrid], shown: int) -> Sequence[SampleGrid]:
    """Return at most `shown` of the grids, the first of them included, at even distances."""
    if len(grids) <= shown:
        return grids
    return [grids[round(index * len(grids) / shown)] for index in range(shown)]


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _flat(group: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in group.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
