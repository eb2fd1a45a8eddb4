from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.flower.messages import Stream, TrainReply, TrainRequest, claim_of
from huscf_flwr.methods.contract import CrossingError, Kept, NoFacts, Order, Orders, Upload
from huscf_flwr.run.host import Assignment
from huscf_flwr.session import ClientTimes
from huscf_flwr.session.wire.codec import REASON_CHARACTERS
from tests.flower.in_process_grid import crossed
from tests.flower.messages.methods import BARE, LISTING, Sent, Told

STREAM = Stream(address="localhost:1", token="secret", answer_seconds=12.5, preset="small")

clients = st.integers(0, 2**31)
numbers = st.floats(allow_nan=False)
tensors = st.dictionaries(
    st.text(max_size=4), st.lists(st.floats(width=32, allow_nan=False)).map(torch.tensor), max_size=2
)
down = st.dictionaries(st.sampled_from(["weights", "moments that move"]), tensors)
group_names = st.sampled_from(["everybody", "cluster-0", "cluster-0/generator.1"])
told = st.builds(Told, cut=st.lists(st.integers(0, 9)).map(tuple))
orders = st.builds(Order, facts=told, tensors=down, groups=st.lists(group_names, unique=True).map(tuple))
kept = st.builds(Kept, st.integers(1, 99), st.text("0123456789abcdef", min_size=64, max_size=64))
uploads = st.builds(
    Upload,
    facts=st.builds(Sent, counts=st.lists(st.integers(0, 9)).map(tuple)),
    tensors=st.dictionaries(st.just("weights"), tensors),
    losses=st.dictionaries(st.sampled_from(["loss", "other loss"]), numbers),
    times=st.none() | st.builds(ClientTimes, numbers, numbers),
    kept=st.none() | kept,
)


def assignment(orders, **changes):
    given = {"round": 3, "attempt": 2, "steps": 40, "training": "ab" * 16, "orders": orders, "kept": {}}
    return Assignment(**{**given, **changes})


def assert_same_parts(found, expected):
    assert found.keys() == expected.keys()
    for kind, tensors in expected.items():
        assert found[kind].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[kind][name].dtype == tensor.dtype
            assert torch.equal(found[kind][name], tensor)


@settings(max_examples=50)
@given(st.data(), st.dictionaries(clients, orders, max_size=3))
def test_train_request(data, clients):
    named = sorted({name for order in clients.values() for name in order.groups})
    groups = {name: data.draw(down) for name in named}
    given = assignment(
        Orders(clients=clients, groups=groups),
        kept=data.draw(st.dictionaries(st.sampled_from(list(clients)), kept) if clients else st.just({})),
    )
    message = TrainRequest(given, neighbours=2, stream=STREAM)
    found = TrainRequest.from_records(crossed(message.to_records(LISTING)), LISTING)
    assert (found.neighbours, found.stream) == (2, STREAM)
    arrived = found.assignment
    assert (arrived.round, arrived.attempt, arrived.steps, arrived.training) == (3, 2, 40, "ab" * 16)
    assert arrived.kept == given.kept
    assert arrived.orders.clients.keys() == clients.keys()
    for client, order in clients.items():
        own = arrived.orders.clients[client]
        assert (own.facts, own.groups) == (order.facts, order.groups)
        assert_same_parts(own.tensors, order.tensors)
        assert_same_parts(arrived.orders.of(client).tensors, given.orders.of(client).tensors)
    assert arrived.orders.groups.keys() == groups.keys()
    for name, parts in groups.items():
        assert_same_parts(arrived.orders.groups[name], parts)
    assert claim_of(arrived, 5, 6) == claim_of(given, 5, 6)


@settings(max_examples=50)
@given(st.dictionaries(clients, uploads, max_size=3), st.dictionaries(clients, st.text(max_size=9)))
def test_train_reply(clients, drop_outs):
    message = TrainReply(4, 2, clients, drop_outs)
    found = TrainReply.from_records(crossed(message.to_records(LISTING)), LISTING)
    assert (found.round, found.attempt, found.drop_outs) == (4, 2, drop_outs)
    assert found.uploads.keys() == clients.keys()
    for client, upload in clients.items():
        own = found.uploads[client]
        assert (own.facts, own.losses, own.times, own.kept) == (
            upload.facts,
            upload.losses,
            upload.times,
            upload.kept,
        )
        assert_same_parts(own.tensors, upload.tensors)


def test_what_a_group_is_told_travels_once():
    """To a host with three clients of it."""
    parts = {"weights": {"a": torch.ones(1000)}}
    order = Order(facts=Told(cut=()), groups=("everybody",))
    given = assignment(Orders(clients=dict.fromkeys((1, 2, 3), order), groups={"everybody": parts}))
    records = TrainRequest(given, 1, STREAM).to_records(LISTING)
    assert list(records.array_records) == ["group/everybody/weights"]


TOLD = Told(cut=(1, 2))
IMAGES = {"images": {"a": torch.zeros(2)}}
WEIGHTS = {"weights": {"a": torch.zeros(2)}}


@pytest.mark.parametrize(
    ("orders", "problem"),
    [
        (Orders(clients={1: Order(facts=NoFacts())}), "an order has facts NoFacts, the method lists Told"),
        (Orders(clients={1: Order(facts=TOLD, tensors=IMAGES)}), r"an order has tensors \['images'\]"),
        (
            Orders(clients={1: Order(facts=TOLD, groups=("all",))}, groups={"all": IMAGES}),
            r"a group has tensors \['images'\]",
        ),
        (Orders(clients={1: Order(facts=TOLD)}, groups={"all": WEIGHTS}), r"groups \[\], but .* \['all'\]"),
        (Orders(clients={1: Order(facts=TOLD, groups=("all",))}), r"groups \['all'\], but .* \[\]"),
    ],
)
def test_an_order_that_the_method_does_not_list_is_not_sent(orders, problem):
    with pytest.raises(CrossingError, match=problem):
        TrainRequest(assignment(orders), 1, STREAM).to_records(LISTING)


def test_what_a_client_without_an_order_keeps_is_not_sent():
    given = assignment(Orders(clients={1: Order(facts=TOLD)}), kept={2: Kept(1, "ab")})
    with pytest.raises(CrossingError, match=r"kept files of clients \[2\], of which it has nothing else"):
        TrainRequest(given, 1, STREAM).to_records(LISTING)


ALONE = SimpleNamespace(name="alone", crossing=replace(LISTING.crossing, exchanges=()))
"""Lists what LISTING does, but no exchanges."""


@pytest.mark.parametrize(
    ("stream", "method", "others", "problem"),
    [
        (None, LISTING, ALONE, r"without a stream, but listing lists exchanges \['\w+', '\w+'\]"),
        (STREAM, ALONE, LISTING, r"with a stream, but alone lists exchanges \[\]"),
    ],
)
def test_there_is_a_stream_if_the_method_lists_exchanges_and_only_then(stream, method, others, problem):
    request = TrainRequest(assignment(Orders(clients={})), 1, stream)
    with pytest.raises(CrossingError, match=problem):
        request.to_records(method)
    with pytest.raises(CrossingError, match=problem):
        TrainRequest.from_records(request.to_records(others), method)
    assert TrainRequest.from_records(request.to_records(others), others) == request


def test_groups_without_tensors_are_named_as_such():
    records = request_records(groups={"all": {}})
    assert TrainRequest.from_records(records, LISTING).assignment.orders.groups == {"all": {}}
    del records["empty-groups"]
    with pytest.raises(CrossingError, match=r"orders name the groups \['all'\], but those sent are \[\]"):
        TrainRequest.from_records(records, LISTING)


def test_a_group_whose_tensors_are_missing_is_not_taken():
    records = request_records()
    del records["group/all/weights"]
    with pytest.raises(CrossingError, match=r"orders name the groups \['all'\], but those sent are \[\]"):
        TrainRequest.from_records(records, LISTING)


@pytest.mark.parametrize(
    ("upload", "problem"),
    [
        (Upload(), "an upload has facts NoFacts, the method lists Sent"),
        (Upload(facts=Sent(counts=()), tensors=IMAGES), r"an upload has tensors \['images'\]"),
        (Upload(facts=Sent(counts=()), losses={"label": 1.0}), r"losses of client 1 has \['label'\]"),
    ],
)
def test_an_upload_that_the_method_does_not_list_is_not_sent(upload, problem):
    with pytest.raises(CrossingError, match=problem):
        TrainReply(1, 1, {1: upload}).to_records(LISTING)


def request_records(groups=None):
    order = Order(facts=TOLD, tensors=WEIGHTS, groups=("all",))
    orders = Orders(clients={1: order}, groups=groups or {"all": WEIGHTS})
    return TrainRequest(assignment(orders), 1, STREAM).to_records(LISTING)


def reply_records():
    upload = Upload(facts=Sent(counts=(3,)), tensors=WEIGHTS, losses={"loss": 1.0, "other loss": 2.0})
    return TrainReply(1, 1, {1: upload}).to_records(LISTING)


@pytest.mark.parametrize(
    ("name", "record", "problem"),
    [
        ("tensors/1/images", ArrayRecord({}), r"an order has tensors \['images'\]"),
        ("group/all/images", ArrayRecord({}), r"a group has tensors \['images'\]"),
        (
            "group/others/weights",
            ArrayRecord({}),
            r"groups \['all'\], but those sent are \['all', 'others'\]",
        ),
        ("empty-groups", ConfigRecord({"names": ["none"]}), r"those sent are \['all', 'none'\]"),
        ("kept/2", ConfigRecord({"round": 1, "sha256": "0"}), r"kept files of clients \[2\]"),
        ("tensors/2/weights", ArrayRecord({}), r"tensors of clients \['2'\], of which it has nothing else"),
        ("groups/2", ConfigRecord({"names": ["all"]}), r"groups of clients \[2\]"),
        ("order/2", ConfigRecord({"cut": [1], "label": 1}), "order/2 is no Told: label: Extra inputs"),
        ("order/2", ConfigRecord({}), "order/2 is no Told: cut: Field required"),
        ("round", ConfigRecord({"round": 1}), "round is no Round: attempt: Field required"),
        ("stream", ConfigRecord({"address": "a", "token": "t"}), "answer_seconds: Field required"),
        ("domain", ConfigRecord({"name": "mnist"}), r"a message with \['domain'\]"),
        ("seconds/1", MetricRecord({"compute": 1.0}), r"a message with \['seconds/1'\]"),
    ],
)
def test_an_order_that_the_method_does_not_list_is_not_taken(name, record, problem):
    records = request_records()
    records[name] = record
    with pytest.raises(CrossingError, match=problem):
        TrainRequest.from_records(records, LISTING)


@pytest.mark.parametrize(
    ("name", "record", "problem"),
    [
        ("tensors/1/images", ArrayRecord({}), r"an upload has tensors \['images'\]"),
        ("tensors/1/moments that move", ArrayRecord({}), r"an upload has tensors \['moments that move'\]"),
        ("tensors/2/weights", ArrayRecord({}), r"tensors of clients \['2'\], of which it has nothing else"),
        ("upload/1", ConfigRecord({"counts": [1], "labels": [2]}), "labels: Extra inputs"),
        ("losses/1", MetricRecord({"loss": 1.0, "label": 2.0}), r"losses/1 has \['label'\]"),
        ("losses/2", MetricRecord({"loss": 1.0}), r"losses of clients \[2\]"),
        ("seconds/1", MetricRecord({"compute": 1.0, "label": 2.0}), r"seconds/1 has \['label'\]"),
        ("seconds/1", MetricRecord({"compute": 1.0}), r"seconds/1 has no \['exchange'\]"),
        ("kept/2", ConfigRecord({"round": 1, "sha256": "0"}), r"kept files of clients \[2\]"),
        ("kept/1", ConfigRecord({"round": 1, "sha256": "0", "path": "/home"}), "path: Extra inputs"),
        ("drop-out/1", ConfigRecord({"reason": "none", "image": [1]}), "image: Extra inputs"),
        (
            "drop-out/1",
            ConfigRecord({"reason": "none", "image": b""}),
            "drop-out/1 is no Reason: it has bytes",
        ),
        ("drop-out/1", ConfigRecord({"reason": "x" * (REASON_CHARACTERS + 1)}), "at most 500 characters"),
        ("group/all/weights", ArrayRecord({}), r"a message with \['group/all/weights'\]"),
    ],
)
def test_an_upload_that_the_method_does_not_list_is_not_taken(name, record, problem):
    records = reply_records()
    records[name] = record
    with pytest.raises(CrossingError, match=problem):
        TrainReply.from_records(records, LISTING)


def test_a_reason_to_drop_out_is_cut_to_what_may_cross():
    reason = "x" * (REASON_CHARACTERS + 1)
    records = crossed(TrainReply(1, 1, {}, {1: reason}).to_records(LISTING))
    assert TrainReply.from_records(records, LISTING).drop_outs == {1: reason[:-1]}


def test_a_message_of_another_method_is_not_taken():
    with pytest.raises(CrossingError):
        TrainRequest.from_records(request_records(), BARE)
    with pytest.raises(CrossingError):
        TrainReply.from_records(reply_records(), BARE)
