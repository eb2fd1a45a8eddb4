"""After the last round: clients judge products on test data that only they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import RecordDict
from pydantic import NonNegativeInt, PositiveInt

from huscf_flwr.flower.messages.records import Reading, facts_record, numbers_record, tensors_record
from huscf_flwr.methods.contract import CrossingError, Facts, Method, Tensors

EVALUATE = "evaluate"


@dataclass(frozen=True)
class EvaluateRequest:
    """Server to SuperNode: judge your client's product on its own test data."""

    client: int
    product: Tensors

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if clients of the method do not judge."""
        records = RecordDict({"request": facts_record(_Judge(client=self.client))})
        records[f"product/{_product_kind(method)}"] = tensors_record(self.product)
        return records

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> EvaluateRequest:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        client = reading.facts("request", _Judge).client
        product = reading.tensors(f"product/{_product_kind(method)}")
        reading.end()
        return cls(client, product)


@dataclass(frozen=True)
class EvaluateReply:
    """SuperNode to server: scores on its own test data, absent where they cannot be known."""

    client: int
    test_samples: int
    scores: Mapping[str, float]

    def to_records(self, method: type[Method]) -> RecordDict:
        """Return the message's content; raises ``CrossingError`` if the method does not list all of it."""
        judged = _Judged(client=self.client, test_samples=self.test_samples)
        scores = numbers_record(self.scores, method.crossing.scores, "a judgement")
        return RecordDict({"judged": facts_record(judged), "scores": scores})

    @classmethod
    def from_records(cls, records: RecordDict, method: type[Method]) -> EvaluateReply:
        """Read the message's content; raises ``CrossingError`` if the method does not list all of it."""
        reading = Reading(records)
        judged = reading.facts("judged", _Judged)
        scores = reading.numbers("scores", method.crossing.scores)
        reading.end()
        return cls(judged.client, judged.test_samples, scores)


class _Judge(Facts):
    client: NonNegativeInt


class _Judged(_Judge):
    test_samples: PositiveInt


def _product_kind(method: type[Method]) -> str:
    if not method.crossing.product_kind:
        raise CrossingError(f"{method.name} lists no product: its clients do not judge")
    return method.crossing.product_kind
