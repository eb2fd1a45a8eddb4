import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.flower.messages import EvaluateReply, EvaluateRequest
from huscf_flwr.methods.contract import CrossingError
from tests.flower.in_process_grid import crossed
from tests.flower.messages.methods import BARE, LISTING

clients = st.integers(0, 2**31)
scores = st.dictionaries(st.sampled_from(["accuracy", "f1"]), st.floats(allow_nan=False))


def test_evaluate_request():
    product = {"main.weight": torch.randn(2, 3), "norm.num_batches_tracked": torch.tensor(7)}
    message = EvaluateRequest(4, product)
    found = EvaluateRequest.from_records(crossed(message.to_records(LISTING)), LISTING)
    assert found.client == 4
    assert found.product.keys() == product.keys()
    assert all(torch.equal(found.product[name], tensor) for name, tensor in product.items())


@given(clients, st.integers(1, 10**6), scores)
def test_evaluate_reply(client, samples, scores):
    message = EvaluateReply(client, samples, scores)
    assert EvaluateReply.from_records(crossed(message.to_records(LISTING)), LISTING) == message


def test_a_product_is_refused_where_clients_do_not_judge():
    message = EvaluateRequest(4, {})
    with pytest.raises(CrossingError, match="bare lists no product: its clients do not judge"):
        message.to_records(BARE)
    with pytest.raises(CrossingError, match="bare lists no product"):
        EvaluateRequest.from_records(message.to_records(LISTING), BARE)


def test_scores_that_the_method_does_not_list_are_refused_on_both_sides():
    message = EvaluateReply(4, 9, {"fid": 1.0})
    with pytest.raises(CrossingError, match=r"a judgement has \['fid'\], the method lists \['accuracy"):
        message.to_records(LISTING)
    records = EvaluateReply(4, 9, {"f1": 1.0}).to_records(LISTING)
    with pytest.raises(CrossingError, match=r"scores has \['f1'\], the method lists \[\]"):
        EvaluateReply.from_records(records, BARE)


@pytest.mark.parametrize(
    ("name", "record"),
    [("product/images", ArrayRecord({})), ("labels", ConfigRecord({"of": [1, 2]}))],
)
def test_records_that_nobody_lists_are_refused(name, record):
    for message in (EvaluateRequest(4, {}), EvaluateReply(4, 9, {})):
        records = message.to_records(LISTING)
        records[name] = record
        with pytest.raises(CrossingError, match="which are not listed"):
            type(message).from_records(records, LISTING)
