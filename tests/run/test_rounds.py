from dataclasses import replace
from functools import cache, partial

import pytest
import torch

from huscf_flwr.methods.contract import Crossing, CrossingError, Order, Upload, byte_counts
from huscf_flwr.session import ClientTimes, LockStep, MessageSession
from tests.quick import OF_EACH_KIND, mostly_slow
from tests.run.builders import METHODS, assert_same_state, small_run, training_of
from tests.session.two_exchanges import DRAW

ALL = {**METHODS, "two-exchanges": {"method": "tests.methods.two_exchanges:TwoExchanges"}}
SENDING = sorted(ALL.keys() - {"local", "local-classifier", "uagan"})
"""Those whose clients upload tensors."""


def training_with(method, place, name="small", **settings):
    given = {"model.width": 0.03, "rounds": 5, **ALL[method], **settings}
    return training_of(small_run(place, place, name=name, clients=3, **given))


@pytest.fixture(params=ALL)
def make(request, tmp_path):
    return partial(training_with, request.param, tmp_path)


@pytest.fixture
def training(make):
    return make()


def state_of(training):
    return training.method.state().copied()


@pytest.mark.parametrize("make", mostly_slow(ALL, *OF_EACH_KIND), indirect=True)
def test_rounds_are_counted(training):
    rounds = training.rounds
    assert (rounds.number, rounds.left, rounds.attempt) == (0, 5, 1)
    for number in (1, 2):
        closed = training.train()
        assert closed.opened.number == rounds.number == number
        assert rounds.left == 5 - number


def test_a_session_is_the_one_that_the_method_needs(training):
    opened = training.rounds.open([[0, 2], [1]])
    locked = bool(training.method.crossing.exchanges)
    assert type(opened.session) is (LockStep if locked else MessageSession)
    assert opened.total == (opened.steps if locked else 3)
    assert opened.assignment(0).clients == (0, 2)
    assert opened.assignment(1).clients == (1,)
    assert opened.assignment(1).training == training.rounds.training


@pytest.mark.parametrize("make", mostly_slow(ALL, *OF_EACH_KIND), indirect=True)
def test_a_round_that_is_taken_back_leaves_all_as_it_was_and_is_trained_as_if_for_the_first_time(make):
    tried, other = make("tried"), make("other")
    for training in (tried, other):
        training.train()
    before, kept = state_of(tried), dict(tried.rounds.kept)
    tried.begin()
    tried.rounds.take_back()
    assert (tried.rounds.number, tried.rounds.attempt) == (1, 2)
    assert tried.rounds.kept == kept
    assert_same_state(tried.method.state(), before)

    assert tried.train().opened.attempt == 2
    other.train()
    assert tried.rounds.attempt == 1
    assert tried.rounds.kept == other.rounds.kept
    assert_same_state(tried.method.state(), other.method.state())


def test_what_clients_keep_counts_once_the_round_is_closed(training):
    _, hosted = training.begin()
    assert training.rounds.kept == {}
    training.rounds.close({0: hosted.uploads[0]})
    assert training.rounds.kept == {0: hosted.uploads[0].kept}
    assert training.rounds.kept[0].round == 1


@pytest.mark.parametrize("make", mostly_slow(ALL, *OF_EACH_KIND), indirect=True)
def test_who_does_not_take_part_goes_on_with_what_it_has_when_it_does(training):
    training.train()
    before = dict(training.rounds.kept)
    closed = training.train(clients=[0, 2])
    assert closed.opened.assignment(0).clients == (0, 2)
    assert closed.collected.uploads.keys() == {0, 2}
    assert training.rounds.kept[1] == before[1]
    opened, hosted = training.begin()
    assert [each.round for _, each in sorted(opened.assignment(0).kept.items())] == [2, 1, 2]
    assert hosted.uploads.keys() == {0, 1, 2}


@pytest.mark.parametrize("make", OF_EACH_KIND, indirect=True)
def test_nothing_can_be_closed_or_taken_back_that_was_not_opened(training):
    for call in (lambda: training.rounds.close({}), training.rounds.take_back):
        with pytest.raises(RuntimeError, match="no round is under way"):
            call()


def test_what_travels_in_orders_and_uploads_is_in_the_ledger(training):
    """A group counts once for each host. What clients that train alone are told has no tensors."""
    training.train()
    hosts = [[0, 2], [1]]
    opened = training.rounds.open(hosts)
    for host, clients in enumerate(hosts):
        sent = opened.assignment(host).orders
        parts = [*sent.groups.values(), *(order.tensors for order in sent.clients.values())]
        expected = sum(sum(byte_counts(part).values()) for part in parts)
        assert sum(opened.ledger.by_client("down").get(client, 0) for client in clients) == expected
        assert bool(expected) is bool(training.method.crossing.order_kinds)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Gives the rounds of a method, the first under way, and the upload of client 1; both are only read."""

    def begin(method):
        training = training_with(method, tmp_path_factory.mktemp(method))
        _, hosted = training.begin()
        return training.rounds, hosted.uploads[1]

    return cache(begin)


@pytest.fixture(params=ALL)
def uploaded(request, begun):
    rounds, upload = begun(request.param)
    rounds.read_upload(1, upload)
    return rounds, upload


def changed(upload, change):
    """The upload with one of its tensors changed."""
    (kind, tensors), *others = upload.tensors.items()
    name = next(iter(tensors))
    return replace(upload, tensors={kind: {**tensors, name: change(tensors[name])}, **dict(others)})


@pytest.mark.parametrize("uploaded", SENDING, indirect=True)
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda tensor: tensor[:1], r"client 1 sent .* as torch.float32 \(1, .*, not torch.float32"),
        (lambda tensor: tensor.to(torch.float16), r"as torch.float16 .*, not torch.float32"),
        (lambda tensor: torch.full_like(tensor, float("nan")), "with numbers that are not finite"),
        (lambda tensor: torch.full_like(tensor, float("inf")), "with numbers that are not finite"),
    ],
)
def test_an_upload_of_another_form_is_refused(uploaded, change, refusal):
    rounds, upload = uploaded
    with pytest.raises(ValueError, match=refusal):
        rounds.read_upload(1, changed(upload, change))


@pytest.mark.parametrize("uploaded", SENDING, indirect=True)
def test_an_upload_with_other_tensors_is_refused(uploaded):
    rounds, upload = uploaded
    (kind, tensors), *_ = upload.tensors.items()
    for wrong in ({}, {**tensors, "more": torch.zeros(1)}):
        with pytest.raises(ValueError, match=f"client 1 sent {kind}"):
            rounds.read_upload(1, replace(upload, tensors={kind: wrong}))
    with pytest.raises(ValueError, match=f"client 1 sent {kind}"):
        rounds.read_upload(1, replace(upload, tensors={}))


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"losses": {}}, r"client 1 sent losses \[\]"),
        ({"losses": {"other": 1.0}}, r"client 1 sent losses \['other'\]"),
        ({"times": ClientTimes(-1.0, 1.0)}, "client 1 says that it took .* seconds, which cannot be"),
        ({"times": ClientTimes(1.0, float("nan"))}, "client 1 says that it took .* seconds, which cannot be"),
    ],
)
def test_losses_are_those_that_are_listed_and_times_are_seconds(uploaded, wrong, refusal):
    rounds, upload = uploaded
    with pytest.raises(ValueError, match=refusal):
        rounds.read_upload(1, replace(upload, **wrong))


def test_losses_are_finite(uploaded):
    rounds, upload = uploaded
    losses = dict.fromkeys(upload.losses, float("inf"))
    with pytest.raises(ValueError, match="which are not finite"):
        rounds.read_upload(1, replace(upload, losses=losses))


def test_tensors_of_another_kind_are_refused(uploaded):
    rounds, upload = uploaded
    with pytest.raises(CrossingError, match=r"\['labels'\]"):
        rounds.read_upload(1, replace(upload, tensors={**upload.tensors, "labels": {"of": torch.zeros(1)}}))


@pytest.mark.parametrize("kind", ["client's own", "group"])
def test_orders_that_are_not_listed_are_refused_before_they_are_sent(training, monkeypatch, kind):
    method = training.method
    orders = method.orders(1, [0, 1, 2])
    secret = {"labels": {"a": torch.zeros(1)}}
    if kind == "group":
        orders = replace(orders, groups={**orders.groups, "secret": secret})
    else:
        own = orders.clients[0]
        orders = replace(orders, clients={**orders.clients, 0: Order(facts=own.facts, tensors=secret)})
    monkeypatch.setattr(method, "orders", lambda *_: orders)
    with pytest.raises(CrossingError, match=r"has tensors \['labels'\]"):
        training.rounds.open([[0, 1, 2]])


def test_an_executor_has_the_exchanges_that_are_listed(training, monkeypatch):
    """Neither fewer than those, nor any if it has none."""
    listed = training.method.crossing
    others = listed.exchanges[:1] or (DRAW,)
    monkeypatch.setattr(
        type(training.method),
        "crossing",
        replace(listed, exchanges=others, shows_server={}, shows_clients={}),
    )
    with pytest.raises(CrossingError, match="lists the exchanges"):
        training.rounds.open([[0, 1, 2]])


def test_a_closed_list_begins_empty():
    assert Crossing().order_kinds == Crossing().upload_kinds == Crossing().exchanges == ()
    Crossing().check_upload(Upload())
