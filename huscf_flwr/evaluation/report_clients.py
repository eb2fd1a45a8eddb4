"""What the report says of single clients: who they are, what they hold, and what happened to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from huscf_flwr.evaluation.formats import known_number
from huscf_flwr.evaluation.run_record import (
    DIRECTIONS,
    Json,
    RunRecord,
    by_client,
    cluster_by_client,
    items,
    names_of,
    numbers,
    part,
)
from huscf_flwr.metrics import Metric, metrics_named

_NOT_A_FACT = ("id", "samples", "cluster")
"""Numbers of a client that have columns of their own."""


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
    """One client: what it is, what the method says of it, what it sent and received, and what it holds."""

    client: int
    cluster: int | None
    device: str | None
    samples: float | None
    share: float | None
    facts: Mapping[str, float]
    sent: Mapping[str, float]
    """Bytes by direction."""
    cuts: tuple[CutDrawing, ...]


@dataclass(frozen=True)
class ClientTable:
    """All clients, with what is known of at least one of them."""

    rows: tuple[ClientRow, ...]
    metrics: tuple[Metric, ...]
    networks: tuple[str, ...]
    """Those that are cut."""

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that have a value in any row."""
        names = [field.name for field in fields(ClientRow)]
        return frozenset(
            name for name in names if any(getattr(row, name) not in (None, {}) for row in self.rows)
        )

    def has(self, column: str) -> bool:
        """Tell whether a column has a value in any row."""
        return column in self.columns


@dataclass(frozen=True)
class DropOutRow:
    """A client that did not take part in a round to its end."""

    round: int
    client: int
    step: float | None
    exchange: str | None
    reason: str


@dataclass(frozen=True)
class CutChangeRow:
    """A client whose cut is another after a round."""

    round: int
    client: int
    networks: tuple[tuple[CutDrawing, CutDrawing], ...]
    """Before and after, of each network."""
    output_change: float | None


def membership(record: RunRecord) -> Membership:
    """Return who was in which cluster, those of one cluster (their last known) beneath each other."""
    by_round = [cluster_by_client(entry) for entry in record.rounds]
    clients = sorted({client for clusters in by_round for client in clusters})
    final = record.clusters
    ordered = sorted(clients, key=lambda client: (final.get(client, len(clients)), client))
    rows = tuple((client, tuple(clusters.get(client) for clusters in by_round)) for client in ordered)
    bodies = {int(entry["round"]): known_number(part(entry, "facts", "bodies")) for entry in record.rounds}
    apart = [number for number, count in bodies.items() if (count or 1) > 1]
    return Membership(tuple(bodies), rows, min(apart, default=None))


def client_table(record: RunRecord) -> ClientTable:
    """Return one row for each client, by id, with what the last round in which it took part says of it."""
    facts = {int(own["id"]): _facts(own) for entry in record.rounds for own in items(entry, "clients")}
    described = {int(entry["id"]): entry for entry in items(record.described, "clients")}
    held = {int(entry["id"]): entry for entry in items(record.cuts, "clients")}
    samples, sent = _samples(record), _sent(record)
    clusters, blocks = record.clusters, _blocks(record)
    shares = _shares(record.clients, clusters, samples)
    rows = tuple(
        ClientRow(
            client=client,
            cluster=clusters.get(client),
            device=described.get(client, {}).get("device") or held.get(client, {}).get("device"),
            samples=samples.get(client),
            share=shares.get(client),
            facts=facts.get(client, {}),
            sent=sent.get(client, {}),
            cuts=_cut_drawings(held.get(client, {}).get("cut"), blocks),
        )
        for client in record.clients
    )
    metrics = tuple(metric for metric in metrics_named(names_of(facts.values())) if not metric.detail)
    return ClientTable(rows, metrics, tuple(blocks))


def drop_outs(record: RunRecord) -> tuple[DropOutRow, ...]:
    """Return who dropped out of which round, and why."""
    return tuple(
        DropOutRow(
            round=int(entry["round"]),
            client=int(dropped["id"]),
            step=known_number(dropped.get("step")),
            exchange=dropped.get("exchange"),
            reason=str(dropped.get("reason", "")),
        )
        for entry in record.rounds
        for dropped in items(entry, "drop_outs")
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
        for change in items(entry, "facts", "new_cuts", "clients")
    )


def _facts(entry: Json) -> dict[str, float]:
    return {name: value for name, value in numbers(entry) if name not in _NOT_A_FACT}


def _samples(record: RunRecord) -> dict[int, float]:
    """Return the number of each client's training images, as it was said last."""
    found: dict[int, float] = {}
    for entry in (record.described, *record.rounds):
        found |= {client: float(count) for client, count in by_client(entry, "samples").items()}
    return found


def _sent(record: RunRecord) -> dict[int, dict[str, float]]:
    """Return the bytes of all rounds by client and direction."""
    found: dict[int, dict[str, float]] = {}
    for entry in record.rounds:
        for direction in DIRECTIONS:
            for client, count in by_client(entry, "bytes", direction).items():
                own = found.setdefault(client, dict.fromkeys(DIRECTIONS, 0.0))
                own[direction] += known_number(count) or 0
    return found


def _shares(
    clients: Sequence[int], clusters: Mapping[int, int], samples: Mapping[int, float]
) -> dict[int, float]:
    """Return the part of its cluster's samples that each client holds; without clusters, of all samples.

    It is known only where the samples of all clients of the cluster are.
    """
    together: dict[int | None, list[int]] = {}
    for client in clients:
        if client in clusters or not clusters:
            together.setdefault(clusters.get(client), []).append(client)
    shares: dict[int, float] = {}
    for members in together.values():
        known = [samples[client] for client in members if client in samples]
        total = sum(known)
        if len(known) == len(members) and total:
            shares |= {client: samples[client] / total for client in members}
    return shares


def _blocks(record: RunRecord) -> dict[str, tuple[int, int]]:
    """Return the number of blocks and the index of the middle one of each network that is cut."""
    found = part(record.cuts, "blocks")
    counts = {
        str(network): (part(found, network, "count"), part(found, network, "middle"))
        for network in (found if isinstance(found, Mapping) else ())
    }
    return {
        network: (count, middle)
        for network, (count, middle) in counts.items()
        if isinstance(count, int) and isinstance(middle, int) and 0 <= middle < count
    }


def _cut_drawings(cut: Any, blocks: Mapping[str, tuple[int, int]]) -> tuple[CutDrawing, ...]:
    """Draw a cut, which has the blocks kept in the head and in the tail of each network in turn."""
    if not isinstance(cut, Sequence) or len(cut) != 2 * len(blocks):
        return ()
    drawings = []
    for (network, (count, middle)), head, tail in zip(blocks.items(), cut[::2], cut[1::2], strict=True):
        places = ["client" if index < head or index >= count - tail else "server" for index in range(count)]
        if head <= middle < count - tail:
            places[middle] = "middle"
        drawings.append(CutDrawing(network, tuple(places)))
    return tuple(drawings)
