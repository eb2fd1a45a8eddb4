"""After a round: clients score models of their own, and products on test data that only they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import RecordDict
from pydantic import NonNegativeInt, PositiveInt

from huscf_flwr.evaluation.domain_scores import Judged
from huscf_flwr.evaluation.own_models import GENERATED, HELD_OUT, TEST, OwnScores
from huscf_flwr.flower.messages.records import Reading, facts_record, numbers_record, tensors_record
from huscf_flwr.flower.messages.training import (
    check_groups,
    drop_out_records,
    drop_outs_of,
    kept_of,
    kept_records,
    orders_of,
    orders_records,
)
from huscf_flwr.methods.contract import CrossingError, Facts, Method, NoFacts, Tensors
from huscf_flwr.run.host import EvaluationOrder

EVALUATE = "evaluate"

_PRODUCT = "product"
_OWN = (TEST, HELD_OUT, GENERATED)


@dataclass(frozen=True)
class EvaluateRequest:
    """Server to SuperNode: score these clients' own models, or a product on your client's test data.

    Like the scores that come back, it belongs to no round, and no round counts its bytes.
    """

    order: EvaluationOrder
    """Whose own models; perhaps nobody's."""
    neighbours: int
    """SuperNodes without data of their own that evaluate at the same time, perhaps on the same machine."""
    judge: int | None = None
    """The client that is to judge ``product``, if any."""
    product: Tensors = field(default_factory=dict)

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        order = self.order
        self._check(method)
        told = _Evaluation(
            round=order.round,
            training=order.training,
            thoroughly=order.thoroughly,
            neighbours=self.neighbours,
            judge=self.judge,
        )
        records = RecordDict({"evaluation": facts_record(told)})
        records.update(orders_records(order.orders))
        records.update(kept_records(order.kept))
        if self.judge is not None:
            records[f"product/{_product_kind(method)}"] = tensors_record(self.product)
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> EvaluateRequest:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        told = reading.facts("evaluation", _Evaluation)
        orders = orders_of(reading, NoFacts)
        kept = kept_of(reading, orders.clients)
        product = {} if told.judge is None else reading.tensors(f"product/{_product_kind(method)}")
        reading.end()
        order = EvaluationOrder(
            round=told.round,
            training=told.training,
            orders=orders,
            kept=kept,
            thoroughly=told.thoroughly,
        )
        request = cls(order, told.neighbours, told.judge, product)
        request._check(method)
        return request

    def _check(self, method: type[Method]) -> None:
        """Raise ``CrossingError`` unless the method lists all that clients are told."""
        method.crossing.check_evaluation(self.order.orders)
        check_groups(self.order.orders)


@dataclass(frozen=True)
class EvaluateReply:
    """SuperNode to server: scores, absent where they cannot be known."""

    own: Mapping[int, OwnScores] = field(default_factory=dict)
    """Of clients' own models, by client id."""
    products: Mapping[int, Judged] = field(default_factory=dict)
    """Of the product that a client was to judge, by client id."""
    drop_outs: Mapping[int, str] = field(default_factory=dict)
    """Why own models of a client could not be scored, by client id; cut off as in ``TrainReply``."""

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        records = RecordDict()
        scored = {(client, on): scores for client, own in self.own.items() for on, scores in own.items()}
        for client, on in scored:
            if on not in _OWN:
                raise CrossingError(f"client {client} scored '{on}', not one of {list(_OWN)}")
        for client, judged in self.products.items():
            scored[client, _PRODUCT] = judged.scores
            records[f"samples/{_PRODUCT}/{client}"] = facts_record(_Samples(samples=judged.samples))
        for (client, on), scores in scored.items():
            records[f"scores/{on}/{client}"] = numbers_record(
                scores, method.crossing.scores, f"a judgement of client {client}"
            )
        records.update(drop_out_records(self.drop_outs))
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> EvaluateReply:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        samples = reading.facts_of_clients(f"samples/{_PRODUCT}", _Samples)
        scores = reading.numbers_of_clients(f"scores/{_PRODUCT}", method.crossing.scores)
        if samples.keys() != scores.keys():
            raise CrossingError(f"samples of clients {sorted(samples)}, but scores of {sorted(scores)}")
        products = {client: Judged(each.samples, scores[client]) for client, each in samples.items()}
        own: dict[int, dict[str, dict[str, float]]] = {}
        for on in _OWN:
            for client, found in reading.numbers_of_clients(f"scores/{on}", method.crossing.scores).items():
                own.setdefault(client, {})[on] = found
        drop_outs = drop_outs_of(reading)
        reading.end()
        return cls(own, products, drop_outs)

    def check_answers(self, request: EvaluateRequest) -> None:
        """Raise ``ValueError`` if it has more than ``request`` asks for; it may have less."""
        judge = set() if request.judge is None else {request.judge}
        evaluated = set(request.order.clients)
        for what, found, asked in (
            ("own models", self.own.keys() | self.drop_outs.keys(), evaluated),
            ("a product", self.products.keys(), judge),
        ):
            if found - asked:
                raise ValueError(
                    f"scores of {what} for clients {sorted(found)}, but it was asked for those of "
                    f"{sorted(asked)}"
                )
        if both := sorted(self.own.keys() & self.drop_outs.keys()):
            raise ValueError(f"scores for clients {both}, and a reason why there are none")


class _Evaluation(Facts):
    round: PositiveInt
    training: str
    thoroughly: bool
    neighbours: NonNegativeInt
    judge: NonNegativeInt | None = None


class _Samples(Facts):
    samples: PositiveInt


def _product_kind(method: type[Method]) -> str:
    if not method.crossing.product_kind:
        raise CrossingError(f"{method.name} lists no product: its clients do not judge")
    return method.crossing.product_kind
