"""A round: what hosts are told at its start, and what they send back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import RecordDict
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from huscf_flwr.config import WirePreset
from huscf_flwr.flower.messages.records import Reading, facts_record, numbers_record, parts_records
from huscf_flwr.methods.contract import CrossingError, Facts, Kept, Method, Order, Orders, Parts, Upload
from huscf_flwr.run.host import Assignment
from huscf_flwr.session import ClientTimes
from huscf_flwr.session.wire import StreamClaim
from huscf_flwr.session.wire.codec import REASON_CHARACTERS

TRAIN = "train"

_TIMES = ("compute", "exchange")


class Stream(Facts):
    """Where a host finds the executor, for one round."""

    address: str
    token: str
    answer_seconds: NonNegativeFloat
    """How long the executor may take to answer, the time that other hosts need included."""
    preset: WirePreset
    """How numbers cross: ``wire.preset: auto`` is decided where all devices are known."""


@dataclass(frozen=True)
class TrainRequest:
    """Server to SuperNode: train these clients for one round.

    What several clients of a group are told alike travels once.
    """

    assignment: Assignment
    neighbours: int
    """SuperNodes without data of their own that compute at the same time, perhaps on the same machine."""
    stream: Stream | None = None
    """None if messages are all that the method needs, so that it lists no exchanges."""

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        assignment, orders = self.assignment, self.assignment.orders
        self._check(method)
        told = _Round(
            round=assignment.round,
            attempt=assignment.attempt,
            steps=assignment.steps,
            training=assignment.training,
            neighbours=self.neighbours,
        )
        records = RecordDict({"round": facts_record(told)})
        if self.stream is not None:
            records["stream"] = facts_record(self.stream)
        records.update(kept_records(assignment.kept))
        records.update(orders_records(orders))
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> TrainRequest:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        told = reading.facts("round", _Round)
        stream = reading.facts_if_any("stream", Stream)
        orders = orders_of(reading, method.crossing.order)
        kept = kept_of(reading, orders.clients)
        reading.end()
        assignment = Assignment(
            round=told.round,
            attempt=told.attempt,
            steps=told.steps,
            training=told.training,
            kept=kept,
            orders=orders,
        )
        request = cls(assignment, told.neighbours, stream)
        request._check(method)
        return request

    def _check(self, method: type[Method]) -> None:
        """Raise ``CrossingError`` unless this is all that the method lists, for clients with an order."""
        if (self.stream is not None) != bool(method.crossing.exchanges):
            found = "without" if self.stream is None else "with"
            listed = [exchange.name for exchange in method.crossing.exchanges]
            raise CrossingError(f"a request {found} a stream, but {method.name} lists exchanges {listed}")
        orders = self.assignment.orders
        _check_clients("kept files", self.assignment.kept, orders.clients)
        for order in orders.clients.values():
            method.crossing.check_order(order)
        check_groups(orders)
        for parts in orders.groups.values():
            method.crossing.check_group(parts)


@dataclass(frozen=True)
class TrainReply:
    """SuperNode to server: what its clients upload, and why the others have dropped out."""

    round: int
    attempt: int
    uploads: Mapping[int, Upload]
    drop_outs: Mapping[int, str] = field(default_factory=dict)
    """Reasons, by client id; no more than ``REASON_CHARACTERS`` of each cross."""

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        told = _Attempt(round=self.round, attempt=self.attempt)
        records = RecordDict({"round": facts_record(told)})
        for client, upload in self.uploads.items():
            method.crossing.check_upload(upload)
            records[f"upload/{client}"] = facts_record(upload.facts)
            records.update(parts_records(f"tensors/{client}", upload.tensors))
            records[f"losses/{client}"] = numbers_record(
                upload.losses, method.client.losses, f"losses of client {client}"
            )
            if upload.times is not None:
                seconds = {"compute": upload.times.compute_s, "exchange": upload.times.exchange_s}
                records[f"seconds/{client}"] = numbers_record(seconds, _TIMES, "seconds")
            if upload.memory:
                records[f"memory/{client}"] = numbers_record(upload.memory, _phases(method), "memory")
        records.update(kept_records({k: each.kept for k, each in self.uploads.items() if each.kept}))
        records.update(drop_out_records(self.drop_outs))
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> TrainReply:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        told = reading.facts("round", _Attempt)
        uploads = _uploads(reading, method)
        drop_outs = drop_outs_of(reading)
        reading.end()
        return cls(told.round, told.attempt, uploads, drop_outs)


def claim_of(assignment: Assignment, run: int, node: int) -> StreamClaim:
    """Return what the token of a stream is bound to, in Flower's run ``run`` on the SuperNode ``node``."""
    clients = tuple(sorted(assignment.orders.clients))
    return StreamClaim(run, assignment.round, assignment.attempt, node, clients)


class _Attempt(Facts):
    round: PositiveInt
    attempt: PositiveInt


class _Round(_Attempt):
    steps: NonNegativeInt
    training: str
    neighbours: NonNegativeInt


class _Groups(Facts):
    names: tuple[str, ...]


class _KeptFile(Facts):
    round: PositiveInt
    sha256: str


class _Reason(Facts):
    reason: str = Field(max_length=REASON_CHARACTERS)


def orders_records(orders: Orders) -> RecordDict:
    """Return what clients are told as Flower carries it; what is the same for a group is there once."""
    records = RecordDict()
    for client, order in orders.clients.items():
        records[f"order/{client}"] = facts_record(order.facts)
        records.update(parts_records(f"tensors/{client}", order.tensors))
        if order.groups:
            records[f"groups/{client}"] = facts_record(_Groups(names=order.groups))
    for name, parts in orders.groups.items():
        records.update(parts_records(f"group/{name}", parts))
    empty = tuple(name for name, parts in orders.groups.items() if not parts)
    if empty:
        records["empty-groups"] = facts_record(_Groups(names=empty))
    return records


def orders_of(reading: Reading, listed: type[Facts]) -> Orders:
    """Take what clients are told; raises ``CrossingError`` for other facts than ``listed``."""
    facts = reading.facts_of_clients("order", listed)
    groups_of = reading.facts_of_clients("groups", _Groups)
    tensors = _of_clients(reading.parts("tensors"), facts)
    _check_clients("groups", groups_of, facts)
    orders = {
        client: Order(
            facts=own,
            tensors=tensors.get(client, {}),
            groups=groups_of[client].names if client in groups_of else (),
        )
        for client, own in facts.items()
    }
    empty = reading.facts_if_any("empty-groups", _Groups)
    groups: dict[str, Parts] = {name: {} for name in empty.names} if empty else {}
    return Orders(clients=orders, groups={**groups, **reading.parts("group")})


def check_groups(orders: Orders) -> None:
    """Raise ``CrossingError`` unless the groups are those that clients are in."""
    named = {name for order in orders.clients.values() for name in order.groups}
    if named != orders.groups.keys():
        raise CrossingError(
            f"orders name the groups {sorted(named)}, but those sent are {sorted(orders.groups)}"
        )


def drop_out_records(reasons: Mapping[int, str]) -> RecordDict:
    """Return why clients have dropped out as Flower carries it, cut off at ``REASON_CHARACTERS``."""
    return RecordDict(
        {
            f"drop-out/{client}": facts_record(_Reason(reason=reason[:REASON_CHARACTERS]))
            for client, reason in reasons.items()
        }
    )


def drop_outs_of(reading: Reading) -> dict[int, str]:
    """Take why clients have dropped out, by client id."""
    return {client: each.reason for client, each in reading.facts_of_clients("drop-out", _Reason).items()}


def _uploads(reading: Reading, method: type[Method]) -> dict[int, Upload]:
    facts = reading.facts_of_clients("upload", method.crossing.upload)
    tensors = _of_clients(reading.parts("tensors"), facts)
    losses = reading.numbers_of_clients("losses", method.client.losses)
    seconds = reading.numbers_of_clients("seconds", _TIMES)
    times = {client: _times(client, own) for client, own in seconds.items()}
    kept = kept_of(reading, facts)
    memory = reading.numbers_of_clients("memory", _phases(method))
    for what, found in (("losses", losses), ("seconds", times), ("memory", memory)):
        _check_clients(what, found, facts)
    uploads = {
        client: Upload(
            facts=own,
            tensors=tensors.get(client, {}),
            losses=losses.get(client, {}),
            times=times.get(client),
            memory={phase: int(count) for phase, count in memory.get(client, {}).items()},
            kept=kept.get(client),
        )
        for client, own in facts.items()
    }
    for upload in uploads.values():
        method.crossing.check_upload(upload)
    return uploads


def _phases(method: type[Method]) -> tuple[str, ...]:
    return getattr(method.client, "phases", ())  # clients in lock-step have none


def _times(client: int, seconds: Mapping[str, float]) -> ClientTimes:
    missing = sorted(set(_TIMES) - set(seconds))
    if missing:
        raise CrossingError(f"seconds/{client} has no {missing}")
    return ClientTimes(seconds["compute"], seconds["exchange"])


def kept_records(kept: Mapping[int, Kept]) -> RecordDict:
    """Return which files clients have kept as Flower carries them, by client id."""
    return RecordDict(
        {
            f"kept/{client}": facts_record(_KeptFile(round=each.round, sha256=each.sha256))
            for client, each in kept.items()
        }
    )


def kept_of(reading: Reading, clients: Collection[int]) -> dict[int, Kept]:
    """Take which files clients have kept; raises ``CrossingError`` for any of others than ``clients``."""
    found = reading.facts_of_clients("kept", _KeptFile)
    _check_clients("kept files", found, clients)
    return {client: Kept(each.round, each.sha256) for client, each in found.items()}


def _of_clients(found: Mapping[str, Parts], clients: Mapping[int, Facts]) -> dict[int, Parts]:
    """Return tensors by client id; raises ``CrossingError`` for any that are of none of the ``clients``."""
    named = {str(client): client for client in clients}
    _check_clients("tensors", found, named)
    return {named[name]: parts for name, parts in found.items()}


def _check_clients(what: str, found: Collection[Any], clients: Collection[Any]) -> None:
    strangers = sorted(set(found) - set(clients))
    if strangers:
        raise CrossingError(f"a message with {what} of clients {strangers}, of which it has nothing else")
