import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.evaluation.own_models import Judged
from huscf_flwr.flower.messages import PRODUCT, EvaluateReply, EvaluateRequest
from huscf_flwr.methods.contract import CrossingError, Kept
from huscf_flwr.run.host import EvaluationOrder
from tests.flower.in_process_grid import crossed
from tests.flower.messages.methods import BARE, LISTING

clients = st.integers(0, 2**31)
judgements = st.builds(
    Judged,
    st.integers(1, 10**6),
    st.dictionaries(st.sampled_from(["accuracy", "f1"]), st.floats(allow_nan=False)),
)
KEPT = Kept(2, "ab" * 32)


def order(*clients, kept=()):
    return EvaluationOrder(
        round=3, training="0" * 32, clients=clients, kept=dict.fromkeys(kept, KEPT), thoroughly=True
    )


def test_evaluate_request():
    product = {"main.weight": torch.randn(2, 3), "norm.num_batches_tracked": torch.tensor(7)}
    message = EvaluateRequest(order(4, 5, kept=[5]), 4, product)
    found = EvaluateRequest.from_records(crossed(message.to_records(LISTING)), LISTING)
    assert (found.order, found.judge) == (message.order, 4)
    assert found.product.keys() == product.keys()
    assert all(torch.equal(found.product[name], tensor) for name, tensor in product.items())


def test_a_request_for_own_models_alone_has_no_product():
    message = EvaluateRequest(order(0, 4))
    records = message.to_records(BARE)
    assert set(records) == {"evaluation"}
    assert EvaluateRequest.from_records(crossed(records), BARE) == message


@given(
    st.dictionaries(
        clients,
        st.dictionaries(st.sampled_from([PRODUCT, "test", "held_out"]), judgements, min_size=1),
        max_size=3,
    )
)
def test_evaluate_reply(judged):
    message = EvaluateReply(judged)
    assert EvaluateReply.from_records(crossed(message.to_records(LISTING)), LISTING) == message


def test_a_product_is_refused_where_clients_do_not_judge():
    message = EvaluateRequest(order(), 4)
    with pytest.raises(CrossingError, match="bare lists no product: its clients do not judge"):
        message.to_records(BARE)
    with pytest.raises(CrossingError, match="bare lists no product"):
        EvaluateRequest.from_records(message.to_records(LISTING), BARE)


def test_kept_files_of_clients_that_are_not_asked_are_refused():
    records = EvaluateRequest(order(4, kept=[5])).to_records(LISTING)
    with pytest.raises(CrossingError, match=r"kept files of clients \[5\]"):
        EvaluateRequest.from_records(records, LISTING)


def test_scores_that_the_method_does_not_list_are_refused_on_both_sides():
    message = EvaluateReply({4: {"test": Judged(9, {"fid": 1.0})}})
    with pytest.raises(CrossingError, match=r"client 4 has \['fid'\], the method lists \['accuracy"):
        message.to_records(LISTING)
    records = EvaluateReply({4: {"test": Judged(9, {"f1": 1.0})}}).to_records(LISTING)
    with pytest.raises(CrossingError, match=r"scores/test/4 has \['f1'\], the method lists \[\]"):
        EvaluateReply.from_records(records, BARE)


def test_only_what_may_be_scored_crosses():
    with pytest.raises(CrossingError, match="client 4 scored 'train', not one of"):
        EvaluateReply({4: {"train": Judged(9, {"f1": 1.0})}}).to_records(LISTING)


def test_scores_without_samples_are_refused():
    records = EvaluateReply({4: {"test": Judged(9, {"f1": 1.0})}}).to_records(LISTING)
    del records["samples/test/4"]
    with pytest.raises(CrossingError, match=r"samples of clients \[\], but scores of \[4\]"):
        EvaluateReply.from_records(records, LISTING)


@pytest.mark.parametrize(
    ("name", "record"),
    [("product/images", ArrayRecord({})), ("labels", ConfigRecord({"of": [1, 2]}))],
)
def test_records_that_nobody_lists_are_refused(name, record):
    for message in (EvaluateRequest(order(), 4), EvaluateReply({4: {PRODUCT: Judged(9, {})}})):
        records = message.to_records(LISTING)
        records[name] = record
        with pytest.raises(CrossingError, match="which are not listed"):
            type(message).from_records(records, LISTING)
