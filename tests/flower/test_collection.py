import logging
import math
import re

import pytest
from flwr.app import MetricRecord, RecordDict

from huscf_flwr.flower.collection import judgements
from huscf_flwr.flower.messages import EvaluateReply

CLIENTS = {21: (3,), 22: (5,)}
FINE = EvaluateReply(5, 40, {"tstr_accuracy": 0.5, "tstr_f1": 0.25})


def test_scores_are_found_by_client():
    absent = EvaluateReply(3, 7, {})
    found = judgements({21: absent.to_records(), 22: FINE.to_records()}, CLIENTS)
    assert found == {3: (7, {}), 5: (40, {"tstr_accuracy": 0.5, "tstr_f1": 0.25})}


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        (EvaluateReply(5, 9, {"tstr_f1": 1.0}).to_records(), r"a reply for clients \[5\], not \[3\]"),
        (EvaluateReply(3, 0, {"tstr_f1": 1.0}).to_records(), "scores on 0 test samples"),
        (EvaluateReply(3, -9, {"tstr_f1": 1.0}).to_records(), "scores on -9 test samples"),
        (
            EvaluateReply(3, 9, {"tstr_f1": math.nan}).to_records(),
            "tstr_f1 is nan, which is no finite number",
        ),
        (EvaluateReply(3, 9, {"tstr_f1": [1.0]}).to_records(), r"tstr_f1 is \[1.0\], which is no finite"),
        (EvaluateReply(3, math.inf, {}).to_records(), r"cannot be read \(OverflowError"),
        (RecordDict({"scores": MetricRecord({"tstr_f1": 1.0})}), r"cannot be read \(KeyError"),
        (RecordDict(), r"cannot be read \(KeyError"),
    ],
)
@pytest.mark.parametrize("first", [21, 22])
def test_scores_that_cannot_be_used_are_logged_and_harm_nobody(caplog, records, problem, first):
    """Whether they come before or after those of the others."""
    found = {21: records, 22: FINE.to_records()}
    with caplog.at_level(logging.WARNING):
        usable = judgements(dict(sorted(found.items(), key=lambda each: each[0] != first)), CLIENTS)
    assert usable == {5: (FINE.test_samples, FINE.scores)}
    (record,) = caplog.records
    assert re.search(f"SuperNode 21: .*{problem}.*; its scores do not count", record.getMessage())
