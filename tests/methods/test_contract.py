from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from huscf_flwr.cuts import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.contract import (
    Client,
    Crossing,
    CrossingError,
    Description,
    Facts,
    Method,
    Order,
    Orders,
    Product,
    State,
    Upload,
    byte_counts,
    joined,
)
from huscf_flwr.session import Exchange
from tests.run.builders import DEVICE


class Told(Facts):
    number: float


class ToldMore(Told):
    secret: float = 0.0


class Said(Facts):
    count: int


class OlderDescription(Description):
    years: int


CROSSING = Crossing(order=Told, order_kinds=("down",), upload=Said, upload_kinds=("up",))
TENSORS = {"a": torch.zeros(2)}


def test_what_is_listed_may_cross():
    CROSSING.check_order(Order(facts=Told(number=1), tensors={"down": TENSORS}))
    CROSSING.check_order(Order(facts=Told(number=1)))
    CROSSING.check_group({"down": TENSORS})
    CROSSING.check_group({})
    CROSSING.check_upload(Upload(facts=Said(count=1), tensors={"up": TENSORS}))
    Crossing().check_order(Order())
    Crossing().check_upload(Upload())
    Crossing().check_descriptions({3: Description(samples=1, device=DEVICE)})


@pytest.mark.parametrize("numbers", [(0, 1), (1, 1), (2, 1), (1, 3)])
def test_exchanges_are_numbered_from_one(numbers):
    exchanges = tuple(Exchange(number, "ASK", up=(), down=()) for number in numbers)
    with pytest.raises(ValueError, match=r"exchanges are numbered \[.*\]: number them from 1"):
        Crossing(exchanges=exchanges)


@pytest.mark.parametrize(
    ("check", "refusal"),
    [
        (lambda: CROSSING.check_order(Order()), "an order has facts NoFacts, the method lists Told"),
        (lambda: CROSSING.check_order(Order(facts=Said(count=1))), "facts Said, the method lists Told"),
        # What is derived may say more than what is listed.
        (lambda: CROSSING.check_order(Order(facts=ToldMore(number=1))), "facts ToldMore, .* lists Told"),
        (
            lambda: CROSSING.check_order(Order(facts=Told(number=1), tensors={"up": TENSORS, "down": {}})),
            r"an order has tensors \['up'\], the method lists \['down'\]",
        ),
        (lambda: CROSSING.check_group({"images": TENSORS}), r"a group has tensors \['images'\]"),
        (lambda: CROSSING.check_upload(Upload()), "an upload has facts NoFacts, the method lists Said"),
        (
            lambda: CROSSING.check_upload(Upload(facts=Said(count=1), tensors={"labels": {}})),
            r"an upload has tensors \['labels'\], the method lists \['up'\]",
        ),
        (
            lambda: CROSSING.check_descriptions({3: OlderDescription(samples=1, device=DEVICE, years=5)}),
            "the description of client 3 has facts OlderDescription, the method lists Description",
        ),
        (lambda: Crossing().check_order(Order(tensors={"x": {}})), r"\['x'\], the method lists \[\]"),
    ],
)
def test_what_is_not_listed_may_not(check, refusal):
    with pytest.raises(CrossingError, match=refusal):
        check()


@pytest.mark.parametrize(
    ("orders", "refusal"),
    [
        (Orders(clients={0: Order(tensors={"down": TENSORS})}), r"evaluation order has tensors \['down'\]"),
        (Orders(clients={0: Order(facts=Told(number=1))}), "an evaluation order has facts Told"),
        (
            Orders(clients={0: Order(groups=("a",))}, groups={"a": {"down": TENSORS}}),
            r"a group of an evaluation has tensors \['down'\], the method lists \['now'\]",
        ),
    ],
)
def test_before_an_evaluation_only_tensors_may_be_sent_that_are_listed_for_it(orders, refusal):
    """Not those of rounds, and no facts."""
    crossing = replace(CROSSING, evaluation_kinds=("now",))
    crossing.check_evaluation(Orders(clients={0: Order(), 1: Order(tensors={"now": TENSORS})}))
    crossing.check_evaluation(Orders(clients={0: Order(groups=("a",))}, groups={"a": {"now": TENSORS}}))
    with pytest.raises(CrossingError, match=refusal):
        crossing.check_evaluation(orders)


@pytest.mark.parametrize(
    "wrong", [{}, {"number": float("nan")}, {"number": float("inf")}, {"number": 1, "more": 2}]
)
def test_facts_are_those_that_are_listed_and_their_numbers_are_finite(wrong):
    with pytest.raises(ValidationError):
        Told.model_validate(wrong)


@pytest.mark.parametrize("kind", ["", "a/b", "/"])
@pytest.mark.parametrize("listed", ["order_kinds", "upload_kinds", "evaluation_kinds", "product_kind"])
def test_kinds_are_parts_of_names(kind, listed):
    if listed == "product_kind":
        assert Crossing(product_kind="").product_kind == ""  # there is none
        kind = kind or "/"
    with pytest.raises(ValueError, match=f"'{kind}' cannot be a kind of tensors: give it a name without '/'"):
        Crossing(**{listed: kind if listed == "product_kind" else ("fine", kind)})


def test_a_client_without_images_cannot_describe_itself():
    with pytest.raises(ValidationError):
        Description(samples=0, device=DEVICE)


IDS = st.integers(0, 5)
GROUPS = st.sampled_from("abcd")


@st.composite
def any_orders(draw):
    """Orders of some clients; the value of a tensor says whose it is."""
    groups = {
        name: {"shared": {name: torch.tensor(float(ord(name)))}, f"of {name}": {"x": torch.zeros(1)}}
        for name in "abcd"
    }
    clients = {
        client: Order(
            facts=Told(number=client),
            tensors={"own": {"y": torch.tensor(float(client))}},
            groups=tuple(draw(st.lists(GROUPS, unique=True))),
        )
        for client in draw(st.sets(IDS, min_size=1))
    }
    return Orders(clients=clients, groups=groups)


@given(any_orders())
def test_a_clients_order_has_its_own_tensors_and_those_of_its_groups(orders):
    for client, own in orders.clients.items():
        order = orders.of(client)
        assert order.facts == own.facts
        assert order.groups == ()
        assert set(order.tensors) == {"own", *(f"of {name}" for name in own.groups)} | (
            {"shared"} if own.groups else set()
        )
        assert order.tensors["own"]["y"] == client
        assert set(order.tensors.get("shared", {})) == set(own.groups)


@given(any_orders(), st.data())
def test_a_host_is_sent_the_orders_of_its_clients_and_their_groups_once(orders, data):
    clients = data.draw(st.lists(st.sampled_from(sorted(orders.clients)), unique=True))
    sent = orders.of_host(clients)
    assert set(sent.clients) == set(clients)
    assert set(sent.groups) == {name for client in clients for name in orders.clients[client].groups}
    for client in clients:
        mine, theirs = sent.of(client), orders.of(client)
        assert mine.facts == theirs.facts
        assert {k: dict(v) for k, v in mine.tensors.items()} == {
            k: dict(v) for k, v in theirs.tensors.items()
        }


def test_tensors_of_one_kind_are_joined_by_name_and_the_last_counts():
    one, two, three = torch.tensor(1), torch.tensor(2), torch.tensor(3)
    found = joined({"k": {"a": one, "b": one}}, {}, {"k": {"b": two}, "l": {"c": three}})
    assert found == {"k": {"a": one, "b": two}, "l": {"c": three}}


def test_bytes_are_counted_by_kind():
    parts = {
        "weights": {"a": torch.zeros(3, 5), "b": torch.zeros(2, dtype=torch.float64)},
        "counts": {"c": torch.zeros(4, dtype=torch.int64)},
        "nothing": {},
    }
    assert byte_counts(parts) == {"weights": 3 * 5 * 4 + 2 * 8, "counts": 32, "nothing": 0}


def test_a_copied_state_stays_as_it_was():
    tensors = {"a": torch.zeros(2)}
    state = State({"round": 1}, tensors)
    copied = state.copied()
    tensors["a"].fill_(7)
    assert copied.tensors["a"].tolist() == [0, 0]
    assert copied.facts == {"round": 1}


class Shows(Method):
    """A method that shows what it is told to, and cannot do anything else."""

    name = "shows"

    def __init__(self, *products):
        self.shown = products

    def products(self):
        return self.shown


Shows.__abstractmethods__ = frozenset()

FIRST, SECOND, THIRD = Product("a", (0, 1, 2), {}), Product("b", (3, 4), {}), Product("c", (), {})


@pytest.mark.parametrize(
    ("clients", "expected"),
    [
        ([0, 3, 4], SECOND),
        ([0, 1, 3, 4], FIRST),  # of equals the first
        ([3, 0], FIRST),
        ([4], SECOND),
        ([9], None),
        ([], None),
    ],
)
def test_clients_are_judged_by_the_product_that_most_of_them_have(clients, expected):
    assert Shows(FIRST, SECOND, THIRD).judged_for(clients) is expected


def test_a_method_need_not_have_clusters_nor_executor_nor_documents():
    method = Shows()
    assert method.clusters() == {}
    assert method.executor(1, [0]) is None
    assert method.documents() == {}
    assert method.predicted_step_s() == 0.0
    assert Method.check(None) is None


class Plain(Client):
    def begin(self, number, order):
        pass

    def upload(self):
        return Upload()


@pytest.fixture
def plain():
    images = LabelledImages(torch.zeros(7, 1, 4, 4, dtype=torch.uint8), torch.zeros(7, dtype=torch.int64))
    return Plain(3, images, Device(name="phone", gflops=1, mbit_per_s=1), None)


def test_a_client_tells_how_many_images_it_has_and_what_it_runs_on_and_no_more(plain):
    assert plain.describe().model_dump(exclude={"device"}) == {"samples": 7}
    assert plain.describe().device.name == "phone"


def test_a_client_that_keeps_nothing_refuses_what_another_kept(plain):
    assert plain.private() == {}
    plain.load_private({})
    with pytest.raises(ValueError, match=r"client 3 keeps nothing, but \['moments'\] were kept"):
        plain.load_private({"moments": torch.zeros(1)})
