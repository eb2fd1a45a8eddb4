"""After a round: clients score models of their own, and products on test data that only they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import RecordDict
from pydantic import NonNegativeInt, PositiveInt

from huscf_flwr.evaluation.own_models import Judged
from huscf_flwr.flower.messages.records import Reading, facts_record, numbers_record, tensors_record
from huscf_flwr.flower.messages.training import kept_of, kept_records
from huscf_flwr.methods.contract import CrossingError, Facts, Method, Tensors
from huscf_flwr.run.host import EvaluationOrder

EVALUATE = "evaluate"
PRODUCT = "product"
"""What a client scored is a product of the server, on its own test images."""
_SCORED_ON = (PRODUCT, "test", "held_out")


@dataclass(frozen=True)
class EvaluateRequest:
    """Server to SuperNode: score these clients' own models, or a product on your client's test data."""

    order: EvaluationOrder
    """Whose own models; perhaps nobody's."""
    judge: int | None = None
    """The client that is to judge ``product``, if any."""
    product: Tensors = field(default_factory=dict)

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if clients of the method do not judge."""
        order = self.order
        told = _Evaluation(
            round=order.round,
            training=order.training,
            clients=order.clients,
            thoroughly=order.thoroughly,
            judge=self.judge,
        )
        records = RecordDict({"evaluation": facts_record(told)})
        records.update(kept_records(order.kept))
        if self.judge is not None:
            records[f"product/{_product_kind(method)}"] = tensors_record(self.product)
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> EvaluateRequest:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        told = reading.facts("evaluation", _Evaluation)
        kept = kept_of(reading, told.clients)
        product = {} if told.judge is None else reading.tensors(f"product/{_product_kind(method)}")
        reading.end()
        order = EvaluationOrder(
            round=told.round,
            training=told.training,
            clients=told.clients,
            kept=kept,
            thoroughly=told.thoroughly,
        )
        return cls(order, told.judge, product)


@dataclass(frozen=True)
class EvaluateReply:
    """SuperNode to server: scores, absent where they cannot be known."""

    judged: Mapping[int, Mapping[str, Judged]]
    """By client id, and by what was scored: ``product``, or own models on ``test`` or ``held_out`` images."""

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        records = RecordDict()
        for client, own in self.judged.items():
            for on, judged in own.items():
                if on not in _SCORED_ON:
                    raise CrossingError(f"client {client} scored '{on}', not one of {list(_SCORED_ON)}")
                records[f"samples/{on}/{client}"] = facts_record(_Samples(samples=judged.samples))
                records[f"scores/{on}/{client}"] = numbers_record(
                    judged.scores, method.crossing.scores, f"a judgement of client {client}"
                )
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> EvaluateReply:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        found: dict[int, dict[str, Judged]] = {}
        for on in _SCORED_ON:
            samples = reading.facts_of_clients(f"samples/{on}", _Samples)
            scores = reading.numbers_of_clients(f"scores/{on}", method.crossing.scores)
            if samples.keys() != scores.keys():
                raise CrossingError(f"samples of clients {sorted(samples)}, but scores of {sorted(scores)}")
            for client, counted in samples.items():
                found.setdefault(client, {})[on] = Judged(counted.samples, scores[client])
        reading.end()
        return cls(found)


class _Evaluation(Facts):
    round: PositiveInt
    training: str
    clients: tuple[NonNegativeInt, ...]
    thoroughly: bool
    judge: NonNegativeInt | None = None


class _Samples(Facts):
    samples: PositiveInt


def _product_kind(method: type[Method]) -> str:
    if not method.crossing.product_kind:
        raise CrossingError(f"{method.name} lists no product: its clients do not judge")
    return method.crossing.product_kind
