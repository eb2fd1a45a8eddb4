"""What each section of the report says, as plain data without any HTML.

Values stay numbers (or `None` where nothing is known) and are formatted by the page.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from huscf_flwr.conf_files import ConfError
from huscf_flwr.evaluation.figures import Panel, curves, themed_svg
from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import RunRecord, SampleGrid, by_client, cluster_by_client, part
from huscf_flwr.models import NETWORKS, NetworkName, load_model_spec
from huscf_flwr.split.exchange import Exchange

EARLIER_ROUNDS_SHOWN = 6

_FIVE_BLOCKS = (5, 2)
"""The paper's number of blocks and index of the middle one, for a run whose model cannot be found."""

_CUT_FIELDS: Mapping[NetworkName, tuple[int, int]] = {"generator": (0, 1), "discriminator": (2, 3)}


@dataclass(frozen=True)
class KeyFigures:
    """The run as a whole."""

    rounds: int
    clients: int | None
    clusters: int | None
    ari: float | None
    seconds: float | None
    up: float | None
    down: float | None


@dataclass(frozen=True)
class Chart:
    """A drawing of curves as a data URI."""

    title: str
    source: str


@dataclass(frozen=True)
class ClusterSamples:
    """What one cluster's generator made: the latest grid (`height` pixels high), and some of those before."""

    cluster: int
    domains: tuple[str, ...]
    clients: int
    latest_round: int
    latest: str
    height: int
    earlier: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Membership:
    """The cluster of each client after each round; `None` where it is not known.

    `parted` is the first round in which clusters had bodies of their own, if there was one.
    """

    rounds: tuple[int, ...]
    rows: tuple[tuple[int, tuple[int | None, ...]], ...]
    parted: int | None


@dataclass(frozen=True)
class CutDrawing:
    """The blocks of one network: `client`, `server` or `middle`, which is always the server's."""

    network: str
    places: tuple[str, ...]

    @property
    def words(self) -> str:
        """The same in words, for those who do not see it."""
        held = [str(number) for number, place in enumerate(self.places, start=1) if place == "client"]
        return f"{self.network}: blocks {', '.join(held)} of {len(self.places)} on the client"


@dataclass(frozen=True)
class ClientRow:
    """One client: what it is, what it weighs, and what it holds."""

    client: int
    cluster: int | None
    device: str | None
    samples: float | None
    share: float | None
    weight: float | None
    divergence: float | None
    cuts: tuple[CutDrawing, ...]


@dataclass(frozen=True)
class TrafficRow:
    """All bytes of one kind, with their share of all traffic."""

    kind: str
    direction: str
    total: float
    share: float


@dataclass(frozen=True)
class DropOutRow:
    """A client that did not take part in a round to its end."""

    round: int
    client: int
    step: float | None
    exchange: str
    reason: str


@dataclass(frozen=True)
class CutChangeRow:
    """A client whose cut is another after a round."""

    round: int
    client: int
    networks: tuple[tuple[CutDrawing, CutDrawing], ...]
    """Before and after, of each network."""
    output_change: float | None


def key_figures(record: RunRecord) -> KeyFigures:
    """Return the figures that describe the run as a whole, as far as it went."""
    clusters = record.clusters
    last = record.rounds[-1] if record.rounds else {}
    ari = part(record.summary, "clusters", "ari")
    return KeyFigures(
        rounds=len(record.rounds) or int(known_number(record.summary.get("rounds")) or 0),
        clients=len(_client_ids(record)) or None,
        clusters=len(set(clusters.values())) or None,
        ari=known_number(ari if ari is not None else last.get("ari")),
        seconds=_total(record, ("seconds",)),
        up=_total(record, ("bytes", "up")),
        down=_total(record, ("bytes", "down")),
    )


def charts(record: RunRecord) -> tuple[Chart, ...]:
    """Draw the curves of everything that has at least one known value."""
    panels = [panel for panel in _panels(record) if not panel.is_empty()]
    drawings = [themed_svg(curves([replace(panel, title="")])) for panel in panels]
    return tuple(Chart(panel.title, _svg_uri(svg)) for panel, svg in zip(panels, drawings, strict=True))


def cluster_samples(record: RunRecord) -> tuple[ClusterSamples, ...]:
    """Return the sample grids of each cluster that the latest pictured round has."""
    if not record.samples:
        return ()
    latest_round = max(grid.round for grid in record.samples)
    present = [grid.cluster for grid in record.samples if grid.round == latest_round]
    return tuple(_samples_of(record, cluster) for cluster in present)


def membership(record: RunRecord) -> Membership:
    """Return who was in which cluster, those of one cluster (as it is now) beneath each other."""
    by_round = [cluster_by_client(entry) for entry in record.rounds]
    clients = sorted({client for clusters in by_round for client in clusters})
    final = by_round[-1] if by_round else {}
    ordered = sorted(clients, key=lambda client: (final.get(client, len(clients)), client))
    rows = tuple((client, tuple(clusters.get(client) for clusters in by_round)) for client in ordered)
    apart = [int(entry["round"]) for entry in record.rounds if (known_number(entry.get("bodies")) or 1) > 1]
    return Membership(tuple(int(entry["round"]) for entry in record.rounds), rows, min(apart, default=None))


def client_rows(record: RunRecord) -> tuple[ClientRow, ...]:
    """Return one row for each client, by id."""
    last = record.rounds[-1] if record.rounds else {}
    samples = {entry["id"]: known_number(entry.get("samples")) for entry in last.get("clients") or ()}
    devices = {entry["id"]: entry for entry in record.cuts.get("clients") or ()}
    weights, divergences = by_client(last, "weights"), by_client(last, "divergences")
    clusters = record.clusters
    blocks = _blocks(record)
    return tuple(
        ClientRow(
            client=client,
            cluster=clusters.get(client),
            device=devices.get(client, {}).get("device"),
            samples=samples.get(client),
            share=_share_in_cluster(client, clusters, samples),
            weight=known_number(weights.get(client)),
            divergence=known_number(divergences.get(client)),
            cuts=_cut_drawings(devices.get(client, {}).get("cut"), blocks),
        )
        for client in _client_ids(record)
    )


def drop_outs(record: RunRecord) -> tuple[DropOutRow, ...]:
    """Return who dropped out of which round, and why."""
    return tuple(
        DropOutRow(
            round=int(entry["round"]),
            client=int(dropped["id"]),
            step=known_number(dropped.get("step")),
            exchange=str(dropped.get("exchange", "")),
            reason=str(dropped.get("reason", "")),
        )
        for entry in record.rounds
        for dropped in entry.get("drop_outs") or ()
    )


def cut_changes(record: RunRecord) -> tuple[CutChangeRow, ...]:
    """Return whose cut changed after which round."""
    blocks = _blocks(record)
    return tuple(
        CutChangeRow(
            round=int(entry["round"]),
            client=int(change["id"]),
            networks=tuple(
                zip(
                    _cut_drawings(change.get("before"), blocks),
                    _cut_drawings(change.get("after"), blocks),
                    strict=False,
                )
            ),
            output_change=known_number(change.get("output_change")),
        )
        for entry in record.rounds
        for change in part(entry, "new_cuts", "clients") or ()
    )


def traffic(record: RunRecord) -> tuple[TrafficRow, ...]:
    """Return the bytes of all rounds by kind of tensor, the largest first, those up before those down."""
    totals: defaultdict[str, float] = defaultdict(float)
    for entry in record.rounds:
        for kind, value in (part(entry, "bytes", "kinds") or {}).items():
            totals[kind] += known_number(value) or 0
    everything = sum(totals.values()) or 1
    order = {"up": 0, "down": 1}
    rows = [TrafficRow(kind, _direction(kind), total, total / everything) for kind, total in totals.items()]
    return tuple(sorted(rows, key=lambda row: (order.get(row.direction, 2), -row.total, row.kind)))


def settings(record: RunRecord) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
    """Return the configuration as titled groups of names and values, the run's own settings first."""
    own = {key: value for key, value in record.config.items() if not isinstance(value, Mapping)}
    sections = {key: value for key, value in record.config.items() if isinstance(value, Mapping)}
    groups = {"run": own, **sections}
    return tuple((name, tuple(_flat(group))) for name, group in groups.items() if group)


def _panels(record: RunRecord) -> Iterable[Panel]:
    losses = {name: _series(record, "losses", name) for name in ("discriminator", "generator")}
    yield Panel("Loss", losses, digits=3, first_colour=2)
    yield _domain_panel(record, "Label fidelity", "label_fidelity", limits=(0, 1))
    yield _domain_panel(record, "Generation score", "generation_score", limits=(1, None))
    yield _domain_panel(record, "Train on synthetic, test on real: accuracy", "tstr_accuracy", limits=(0, 1))
    yield _domain_panel(record, "Fréchet distance", "fid", limits=(0, None))
    agreement = {"silhouette": _series(record, "silhouette"), "Rand index": _series(record, "ari")}
    yield Panel("Clustering", agreement, limits=(None, 1.02), first_colour=2)


def _domain_panel(
    record: RunRecord, title: str, score: str, limits: tuple[float | None, float | None]
) -> Panel:
    """Return the curves of one score; a score that is known once only, at the end, is no curve."""
    series = {name: _series(record, "domains", name, score) for name in record.domains}
    # An empty curve stays, so that each domain has the same colour in all panels.
    return Panel(title, {name: points if len(points) > 1 else [] for name, points in series.items()}, limits)


def _series(record: RunRecord, *keys: str) -> list[tuple[float, float | None]]:
    """Return (round, value) of the rounds where it is known: a score of every third round is a curve too."""
    points = [(float(entry["round"]), known_number(part(entry, *keys))) for entry in record.rounds]
    return [(number, value) for number, value in points if value is not None]


def _svg_uri(drawing: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


def _png_uri(grid: SampleGrid) -> str:
    return "data:image/png;base64," + base64.b64encode(grid.path.read_bytes()).decode()


def _png_height(grid: SampleGrid) -> int:
    # The header chunk comes first in every PNG: width in bytes 16 to 19, height in 20 to 23.
    return int.from_bytes(grid.path.read_bytes()[20:24], "big")


def _samples_of(record: RunRecord, cluster: int) -> ClusterSamples:
    *earlier, latest = (grid for grid in record.samples if grid.cluster == cluster)
    names = [name for name, scores in record.domains.items() if _judged_by(record, name) == cluster]
    return ClusterSamples(
        cluster=cluster,
        domains=tuple(names),
        clients=list(record.clusters.values()).count(cluster),
        latest_round=latest.round,
        latest=_png_uri(latest),
        height=_png_height(latest),
        earlier=tuple((grid.round, _png_uri(grid)) for grid in _evenly(earlier, EARLIER_ROUNDS_SHOWN)),
    )


def _judged_by(record: RunRecord, domain: str) -> int | None:
    """Return the cluster whose generator was judged for a domain last."""
    cluster = known_number(record.domains.get(domain, {}).get("cluster"))
    return None if cluster is None else int(cluster)


def _evenly(grids: Sequence[SampleGrid], shown: int) -> Sequence[SampleGrid]:
    """Return at most `shown` of the grids, the first of them included, at even distances."""
    if len(grids) <= shown:
        return grids
    return [grids[round(index * len(grids) / shown)] for index in range(shown)]


def _client_ids(record: RunRecord) -> list[int]:
    ids = set(record.clusters) | {int(entry["id"]) for entry in record.cuts.get("clients") or ()}
    return sorted(ids)


def _total(record: RunRecord, keys: tuple[str, ...]) -> float | None:
    """Return what the summary says, else the sum over the rounds, else `None`."""
    said = known_number(part(record.summary, *keys))
    if said is not None:
        return said
    values = [known_number(part(entry, *keys)) for entry in record.rounds]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _share_in_cluster(
    client: int, clusters: Mapping[int, int], samples: Mapping[int, float | None]
) -> float | None:
    """Return the part of its cluster's samples that a client holds: its weight under plain averaging."""
    own, cluster = samples.get(client), clusters.get(client)
    together = [samples.get(other) for other, place in clusters.items() if place == cluster]
    known = [value for value in together if value is not None]
    if own is None or cluster is None or len(known) < len(together) or not sum(known):
        return None
    return own / sum(known)


def _blocks(record: RunRecord) -> dict[NetworkName, tuple[int, int]]:
    """Return the number of blocks and the index of the middle one of each network of the run's model."""
    name = part(record.config, "model", "spec")
    try:
        spec = load_model_spec(str(name))
    except (ConfError, ValueError, OSError):
        return dict.fromkeys(NETWORKS, _FIVE_BLOCKS)
    return {
        network: (len(spec.network(network).blocks), spec.network(network).middle_index)
        for network in NETWORKS
    }


def _cut_drawings(cut: Any, blocks: Mapping[NetworkName, tuple[int, int]]) -> tuple[CutDrawing, ...]:
    if not isinstance(cut, Sequence) or len(cut) != 4:
        return ()
    drawings = []
    for network, (head, tail) in _CUT_FIELDS.items():
        count, middle = blocks[network]
        places = [
            "client" if index < cut[head] or index >= count - cut[tail] else "server"
            for index in range(count)
        ]
        places[middle] = "middle"
        drawings.append(CutDrawing(network, tuple(places)))
    return tuple(drawings)


def _direction(kind: str) -> str:
    up = any(kind == tensor.name for exchange in Exchange for tensor in exchange.up)
    down = any(kind == tensor.name for exchange in Exchange for tensor in exchange.down)
    return "up" if up and not down else "down" if down and not up else "both"


def _flat(group: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in group.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
