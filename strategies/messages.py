"""The control plane's messages: every record that Flower carries for us, written and read in one place.

Clients send up: whether they were admitted, their client id, device profile and sample count, the blocks
that they trained, their mean losses, how long they computed and exchanged frames, the checksum of the file in
which they keep their optimisers' moments, and, where nobody else can judge, how their cluster's generator did
on their own test data. Nothing else; labels, label counts, names of
domains or partitions and images have no place here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    ConfigRecordValues,
    MetricRecord,
    MetricRecordValues,
    RecordDict,
)

from huscf_flwr.cuts import Device
from huscf_flwr.models import BlockStates, Cut
from huscf_flwr.split import ClientTimes, StepLosses
from huscf_flwr.split.wire import StreamClaim
from huscf_flwr.training.files import flatten_blocks, unflatten_blocks
from huscf_flwr.training.moments import KeptMoments
from huscf_flwr.training.taken_blocks import TakenBlocks

RENDEZVOUS = "query.rendezvous"
DESCRIBE = "query.describe"
TRAIN = "train"
EVALUATE = "evaluate"

_NOBODY = -1


@dataclass(frozen=True)
class Invitation:
    """Server to SuperNode: come to the rendezvous."""

    address: str
    token: str

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        return RecordDict({"invitation": ConfigRecord({"address": self.address, "token": self.token})})

    @classmethod
    def from_records(cls, records: RecordDict) -> Invitation:
        """Read the message's content."""
        record = records.config_records["invitation"]
        return cls(str(record["address"]), str(record["token"]))


@dataclass(frozen=True)
class Arrival:
    """SuperNode to server: whether it was admitted, and which client it owns, if any."""

    admitted: bool
    client: int | None

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        client = _NOBODY if self.client is None else self.client
        return RecordDict({"arrival": ConfigRecord({"admitted": self.admitted, "client-id": client})})

    @classmethod
    def from_records(cls, records: RecordDict) -> Arrival:
        """Read the message's content."""
        record = records.config_records["arrival"]
        client = int(str(record["client-id"]))
        return cls(bool(record["admitted"]), None if client == _NOBODY else client)


@dataclass(frozen=True)
class DescribeRequest:
    """Server to SuperNode: describe these clients."""

    clients: tuple[int, ...]

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        return RecordDict({"clients": ConfigRecord({"ids": list(self.clients)})})

    @classmethod
    def from_records(cls, records: RecordDict) -> DescribeRequest:
        """Read the message's content."""
        return cls(_integers(records.config_records["clients"]["ids"]))


@dataclass(frozen=True)
class Description:
    """SuperNode to server: sample count and device profile of its clients."""

    samples: Mapping[int, int]
    devices: Mapping[int, Device]

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        return RecordDict(
            {
                f"client-{client}": ConfigRecord(
                    {"samples": count, **self.devices[client].model_dump(exclude_none=True)}
                )
                for client, count in self.samples.items()
            }
        )

    @classmethod
    def from_records(cls, records: RecordDict) -> Description:
        """Read the message's content."""
        samples, devices = {}, {}
        for name, record in records.config_records.items():
            client = _client(name)
            profile: dict[str, Any] = dict(record)
            samples[client] = int(profile.pop("samples"))
            devices[client] = Device.model_validate(profile)
        return cls(samples, devices)


@dataclass(frozen=True)
class TrainRequest:
    """Server to SuperNode: train these clients for one round, over a stream to ``address``.

    ``blocks`` are by cluster: what several clients of one cluster keep travels once. ``taken`` are by client:
    blocks that it takes over from the server, with the server's moments; they travel only when cuts change.
    ``training`` names what is trained, over all runs that resume it, and ``kept`` the files of moments that
    clients have kept for it; a client that is not in it starts without.
    """

    round: int
    attempt: int
    """At the round, from one."""
    steps: int
    answer_seconds: float
    """How long the executor may take to answer, the time that other hosts need included."""
    address: str
    token: str
    cuts: Mapping[int, Cut]
    clusters: Mapping[int, int]
    blocks: Mapping[int, BlockStates]
    taken: Mapping[int, TakenBlocks]
    neighbours: int
    """SuperNodes without data of their own that compute at the same time, perhaps on the same machine."""
    training: str
    kept: Mapping[int, KeptMoments]

    def claim(self, run: int, node: int) -> StreamClaim:
        """Return what the token is bound to, in Flower's run ``run`` on the SuperNode ``node``."""
        return StreamClaim(run, self.round, self.attempt, node, tuple(sorted(self.cuts)))

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        session: dict[str, ConfigRecordValues] = {
            "round": self.round,
            "attempt": self.attempt,
            "steps": self.steps,
            "answer-seconds": self.answer_seconds,
            "address": self.address,
            "token": self.token,
            "neighbours": self.neighbours,
            "training": self.training,
        }
        records = RecordDict({"session": ConfigRecord(session)})
        for client, cut in self.cuts.items():
            place: dict[str, ConfigRecordValues] = {"cut": list(cut), "cluster": self.clusters[client]}
            records[f"client-{client}"] = ConfigRecord(place)
        records.update(_kept_records(self.kept))
        for cluster, states in self.blocks.items():
            records[f"cluster-{cluster}"] = _to_arrays(states)
        for client, taken in self.taken.items():
            records[f"taken-{client}"] = _to_arrays(taken.states)
            records[f"moments-{client}"] = ArrayRecord(
                {name: tensor.contiguous() for name, tensor in taken.moments.items()}
            )
        return records

    @classmethod
    def from_records(cls, records: RecordDict) -> TrainRequest:
        """Read the message's content."""
        configs = records.config_records
        session: dict[str, Any] = dict(configs["session"])
        places = {_client(name): record for name, record in configs.items() if name.startswith("client-")}
        return cls(
            round=session["round"],
            attempt=session["attempt"],
            steps=session["steps"],
            answer_seconds=session["answer-seconds"],
            address=session["address"],
            token=session["token"],
            neighbours=session["neighbours"],
            training=session["training"],
            kept=_kept(records),
            cuts={client: Cut(*_integers(record["cut"])) for client, record in places.items()},
            clusters={client: int(str(record["cluster"])) for client, record in places.items()},
            blocks={k: _from_arrays(record) for k, record in _arrays(records, "cluster").items()},
            taken={
                client: TakenBlocks(
                    _from_arrays(record), _arrays(records, "moments")[client].to_torch_state_dict()
                )
                for client, record in _arrays(records, "taken").items()
            },
        )


@dataclass(frozen=True)
class TrainReply:
    """SuperNode to server: what its clients trained, their losses, how long it took, and what they keep.

    Clients that dropped out are not in it.
    """

    round: int
    attempt: int
    blocks: Mapping[int, BlockStates]
    losses: Mapping[int, StepLosses]
    times: Mapping[int, ClientTimes]
    kept: Mapping[int, KeptMoments]

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        session = ConfigRecord({"round": self.round, "attempt": self.attempt})
        records = RecordDict({"session": session, **_kept_records(self.kept)})
        for client, states in self.blocks.items():
            losses = self.losses[client]
            records[f"client-{client}"] = _to_arrays(states)
            records[f"losses-{client}"] = MetricRecord(
                {"discriminator": losses.discriminator, "generator": losses.generator}
            )
            records[f"seconds-{client}"] = MetricRecord(
                {"compute": self.times[client].compute_s, "exchange": self.times[client].exchange_s}
            )
        return records

    @classmethod
    def from_records(cls, records: RecordDict) -> TrainReply:
        """Read the message's content."""
        losses = {
            client: StepLosses(_number(record["discriminator"]), _number(record["generator"]))
            for client, record in _metrics(records, "losses").items()
        }
        times = {
            client: ClientTimes(_number(record["compute"]), _number(record["exchange"]))
            for client, record in _metrics(records, "seconds").items()
        }
        blocks = {client: _from_arrays(record) for client, record in _arrays(records, "client").items()}
        session: dict[str, Any] = dict(records.config_records["session"])
        return cls(session["round"], session["attempt"], blocks, losses, times, _kept(records))


@dataclass(frozen=True)
class EvaluateRequest:
    """Server to SuperNode: judge your cluster's generator on your own test data."""

    client: int
    generator: BlockStates

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        request = ConfigRecord({"client-id": self.client})
        return RecordDict({"request": request, "generator": _to_arrays(self.generator)})

    @classmethod
    def from_records(cls, records: RecordDict) -> EvaluateRequest:
        """Read the message's content."""
        client = int(str(records.config_records["request"]["client-id"]))
        return cls(client, _from_arrays(records.array_records["generator"]))


@dataclass(frozen=True)
class EvaluateReply:
    """SuperNode to server: scores on its own test data, absent where they cannot be known."""

    client: int
    test_samples: int
    scores: Mapping[str, float]

    def to_records(self) -> RecordDict:
        """Return the message's content."""
        metrics: dict[str, MetricRecordValues] = {
            "client-id": self.client,
            "test-samples": self.test_samples,
            **self.scores,
        }
        return RecordDict({"scores": MetricRecord(metrics)})

    @classmethod
    def from_records(cls, records: RecordDict) -> EvaluateReply:
        """Read the message's content."""
        metrics: dict[str, Any] = dict(records.metric_records["scores"])
        return cls(int(metrics.pop("client-id")), int(metrics.pop("test-samples")), metrics)


def _kept_records(kept: Mapping[int, KeptMoments]) -> dict[str, ConfigRecord]:
    return {
        f"kept-{client}": ConfigRecord({"round": moments.round, "sha256": moments.sha256})
        for client, moments in kept.items()
    }


def _kept(records: RecordDict) -> dict[int, KeptMoments]:
    return {
        _client(name): KeptMoments(int(str(record["round"])), str(record["sha256"]))
        for name, record in records.config_records.items()
        if name.startswith("kept-")
    }


def _to_arrays(states: BlockStates) -> ArrayRecord:
    return ArrayRecord({name: tensor.contiguous() for name, tensor in flatten_blocks(states).items()})


def _from_arrays(record: ArrayRecord) -> BlockStates:
    return unflatten_blocks(record.to_torch_state_dict())


def _arrays(records: RecordDict, prefix: str) -> dict[int, ArrayRecord]:
    """Return the records that are named ``<prefix>-<number>``, by number."""
    found = records.array_records.items()
    return {_client(name): record for name, record in found if name.startswith(f"{prefix}-")}


def _metrics(records: RecordDict, prefix: str) -> dict[int, MetricRecord]:
    found = records.metric_records.items()
    return {_client(name): record for name, record in found if name.startswith(f"{prefix}-")}


def _client(name: str) -> int:
    return int(name.rpartition("-")[2])


def _integers(values: Any) -> tuple[int, ...]:
    assert isinstance(values, Sequence)
    return tuple(int(value) for value in values)


def _number(value: Any) -> float:
    assert isinstance(value, int | float)
    return float(value)
