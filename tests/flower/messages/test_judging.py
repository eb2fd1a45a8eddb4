import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.evaluation.domain_scores import Judged
from huscf_flwr.flower.messages import EvaluateReply, EvaluateRequest
from huscf_flwr.methods.contract import CrossingError, Kept, Order, Orders
from huscf_flwr.run.host import EvaluationOrder
from huscf_flwr.session.wire.codec import REASON_CHARACTERS
from tests.flower.in_process_grid import crossed
from tests.flower.messages.methods import BARE, LISTING

clients = st.integers(0, 2**31)
scores = st.dictionaries(st.sampled_from(["accuracy", "f1"]), st.floats(allow_nan=False))
own_scores = st.dictionaries(st.sampled_from(["test", "held_out", "generated"]), scores, min_size=1)
KEPT = Kept(2, "ab" * 32)


def order(*clients, kept=(), orders=None):
    return EvaluationOrder(
        round=3,
        training="0" * 32,
        orders=orders or Orders(clients={client: Order() for client in clients}),
        kept=dict.fromkeys(kept, KEPT),
        thoroughly=True,
    )


def test_evaluate_request():
    product = {"main.weight": torch.randn(2, 3), "norm.num_batches_tracked": torch.tensor(7)}
    message = EvaluateRequest(order(4, 5, kept=[5]), 7, 4, product)
    found = EvaluateRequest.from_records(crossed(message.to_records(LISTING)), LISTING)
    assert (found.order, found.neighbours, found.judge) == (message.order, 7, 4)
    assert found.product.keys() == product.keys()
    assert all(torch.equal(found.product[name], tensor) for name, tensor in product.items())


def test_a_request_for_own_models_alone_has_no_product():
    message = EvaluateRequest(order(0, 4), 1)
    records = message.to_records(BARE)
    assert set(records) == {"evaluation", "order/0", "order/4"}
    assert EvaluateRequest.from_records(crossed(records), BARE) == message


def told(**parts):
    """Orders in which clients 4 and 5 are told the same."""
    means = {"means": {"a": torch.ones(2)}}
    together = Orders(
        clients={client: Order(groups=("all",)) for client in (4, 5)}, groups={"all": parts or means}
    )
    return EvaluateRequest(order(orders=together), 1)


def test_what_several_clients_are_told_before_an_evaluation_crosses_once():
    records = told().to_records(LISTING)
    assert set(records.array_records) == {"group/all/means"}
    found = EvaluateRequest.from_records(crossed(records), LISTING).order
    assert found.clients == (4, 5)
    for client in (4, 5):
        assert torch.equal(found.orders.of(client).tensors["means"]["a"], torch.ones(2))


@pytest.mark.parametrize("kind", ["weights", "images"])
def test_what_is_not_listed_for_evaluations_is_refused_on_both_sides(kind):
    """Not even what is listed for rounds."""
    with pytest.raises(CrossingError, match=rf"a group of an evaluation has tensors \['{kind}'\]"):
        told(**{kind: {"a": torch.ones(2)}}).to_records(LISTING)
    records = told().to_records(LISTING)
    records[f"group/all/{kind}"] = records.pop("group/all/means")
    with pytest.raises(CrossingError, match=rf"a group of an evaluation has tensors \['{kind}'\]"):
        EvaluateRequest.from_records(records, LISTING)
    records = EvaluateRequest(order(4), 1).to_records(LISTING)
    records[f"tensors/4/{kind}"] = ArrayRecord({"a": torch.ones(2)})
    with pytest.raises(CrossingError, match=rf"an evaluation order has tensors \['{kind}'\]"):
        EvaluateRequest.from_records(records, LISTING)


def test_facts_are_not_told_before_an_evaluation():
    records = EvaluateRequest(order(4), 1).to_records(LISTING)
    records["order/4"] = ConfigRecord({"cut": [1, 2]})
    with pytest.raises(CrossingError, match="order/4 is no NoFacts: cut"):
        EvaluateRequest.from_records(records, LISTING)


@given(
    st.dictionaries(clients, own_scores, max_size=3),
    st.dictionaries(clients, st.builds(Judged, st.integers(1, 10**6), scores), max_size=1),
    st.dictionaries(clients, st.text(max_size=50), max_size=2),
)
def test_evaluate_reply(own, products, drop_outs):
    message = EvaluateReply(own, products, drop_outs)
    assert EvaluateReply.from_records(crossed(message.to_records(LISTING)), LISTING) == message


def test_of_a_long_reason_only_the_beginning_crosses():
    records = EvaluateReply(drop_outs={4: "x" * 10_000}).to_records(LISTING)
    (reason,) = EvaluateReply.from_records(records, LISTING).drop_outs.values()
    assert len(reason) == REASON_CHARACTERS


FINE = {"test": {"f1": 1.0}}
ASKED = EvaluateRequest(order(4, 5), 1, 6)


@pytest.mark.parametrize(
    "reply",
    [
        EvaluateReply(),
        EvaluateReply({4: FINE}),
        EvaluateReply({4: FINE}, {6: Judged(9, {})}, {5: "diverged"}),
    ],
)
def test_a_reply_may_have_all_that_was_asked_for_or_less(reply):
    reply.check_answers(ASKED)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (EvaluateReply({4: FINE, 6: FINE}), r"own models for clients \[4, 6\], but .* those of \[4, 5\]"),
        (EvaluateReply(drop_outs={9: "gone"}), r"own models for clients \[9\], but"),
        (EvaluateReply(products={4: Judged(9, {})}), r"a product for clients \[4\], but .* those of \[6\]"),
        (EvaluateReply({4: FINE}, {}, {4: "diverged"}), r"scores for clients \[4\], and a reason"),
    ],
)
def test_a_reply_with_more_than_was_asked_for_is_refused(reply, problem):
    with pytest.raises(ValueError, match=problem):
        reply.check_answers(ASKED)


def test_who_was_asked_about_own_models_alone_has_no_say_about_a_product():
    reply = EvaluateReply(products={4: Judged(9, {"f1": 1.0})})
    with pytest.raises(ValueError, match=r"a product for clients \[4\], but it was asked for those of \[\]"):
        reply.check_answers(EvaluateRequest(order(4, 5), 1))


def test_a_product_is_refused_where_clients_do_not_judge():
    message = EvaluateRequest(order(), 1, 4)
    with pytest.raises(CrossingError, match="bare lists no product: its clients do not judge"):
        message.to_records(BARE)
    with pytest.raises(CrossingError, match="bare lists no product"):
        EvaluateRequest.from_records(message.to_records(LISTING), BARE)


def test_kept_files_of_clients_that_are_not_asked_are_refused():
    records = EvaluateRequest(order(4, kept=[5]), 1).to_records(LISTING)
    with pytest.raises(CrossingError, match=r"kept files of clients \[5\]"):
        EvaluateRequest.from_records(records, LISTING)


def test_scores_that_the_method_does_not_list_are_refused_on_both_sides():
    message = EvaluateReply({4: {"test": {"fid": 1.0}}})
    with pytest.raises(CrossingError, match=r"client 4 has \['fid'\], the method lists \['accuracy"):
        message.to_records(LISTING)
    records = EvaluateReply({4: {"test": {"f1": 1.0}}}).to_records(LISTING)
    with pytest.raises(CrossingError, match=r"scores/test/4 has \['f1'\], the method lists \[\]"):
        EvaluateReply.from_records(records, BARE)


def test_only_what_may_be_scored_crosses():
    with pytest.raises(CrossingError, match="client 4 scored 'train', not one of"):
        EvaluateReply({4: {"train": {"f1": 1.0}}}).to_records(LISTING)


def test_scores_of_a_product_without_samples_are_refused():
    records = EvaluateReply(products={4: Judged(9, {"f1": 1.0})}).to_records(LISTING)
    del records["samples/product/4"]
    with pytest.raises(CrossingError, match=r"samples of clients \[\], but scores of \[4\]"):
        EvaluateReply.from_records(records, LISTING)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("product/images", ArrayRecord({})),
        ("labels", ConfigRecord({"of": [1, 2]})),
        ("samples/test/4", ConfigRecord({"samples": 9})),
    ],
)
def test_records_that_nobody_lists_are_refused(name, record):
    for message in (EvaluateRequest(order(), 1, 4), EvaluateReply(products={4: Judged(9, {})})):
        records = message.to_records(LISTING)
        records[name] = record
        with pytest.raises(CrossingError, match="which are not listed"):
            type(message).from_records(records, LISTING)
