"""Clients that come, or come again, when the bodies of clusters have parted without them."""

from functools import partial

import pytest
import torch

from huscf_flwr.federation import (
    comparable_means,
)
from huscf_flwr.methods.contract import State
from huscf_flwr.models import flatten_blocks
from tests.methods.huscf.builders import Spy, everything_of
from tests.methods.huscf.partial_rounds import SAMPLES, TWO_AND_ONE, TWO_AND_TWO, kept, partial_training
from tests.run.builders import (
    assert_same_to_the_bit,
    method_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path):
    return partial(partial_training, tmp_path)


def states_of(method):
    state = method.state().copied()
    return state.facts, state.tensors


@pytest.fixture
def parted(make):
    """A training whose bodies have parted while client 3 had never been there."""
    training = make(TWO_AND_ONE, TWO_AND_ONE)
    training.train(clients=[0, 1, 2])
    body = training.method.bodies.segments
    training.bodies_before = kept(body.states())
    training.common_before = kept(training.method.models.common)
    closed = training.train(clients=[0, 1, 2])
    assert "bodies of its own" in closed.outcome.notes[0]
    return training


def test_a_newcomer_runs_body_and_blocks_of_the_start_of_the_round_in_which_bodies_parted(parted):
    method = parted.method
    assert method.clusters() == {0: 0, 1: 0, 2: 1}
    assert set(method.bodies.bodies) == {0, 1}
    common = method.bodies.body_of(3)
    assert common is method.bodies.common
    assert_same_to_the_bit(flatten_blocks(common.states()), flatten_blocks(parted.bodies_before))
    own = method.orders(3, [3]).of(3).tensors["segments"]
    blocks = flatten_blocks({**parted.bodies_before, **parted.common_before})
    assert_same_to_the_bit(own, {name: blocks[name] for name in own})


def test_a_newcomer_is_in_no_average_and_the_body_that_it_runs_stays_as_it_was(parted):
    method, common = parted.method, parted.method.bodies.common
    spy = Spy(method)
    closed = parted.train(clients=[0, 2, 3])
    assert_same_to_the_bit(flatten_blocks(common.states()), flatten_blocks(parted.bodies_before))
    (given,) = spy.given
    assert given["client_blocks"].keys() == given["statistics"].keys() == {0, 2}
    facts = closed.outcome.clients
    assert facts[3] == {
        "cluster": method.clusters()[3],
        "cut": list(method.cuts.now[3]),
        "weight": 0.0,
        "global_weight": 0.0,
    }
    assert facts[0]["weight"] == facts[2]["weight"] == 1.0
    assert closed.outcome.facts["bodies"] == 2


def test_a_newcomer_is_a_member_from_the_next_round_on(parted):
    method = parted.method
    parted.train(clients=[0, 2, 3])
    cluster = method.clusters()[3]
    assert method.bodies.body_of(3) is method.bodies.bodies[cluster]
    groups = method.orders(4, [3]).clients[3].groups
    assert all(name.startswith(f"cluster-{cluster}/") for name in groups)
    facts = parted.train(clients=[3]).outcome.clients
    assert facts[3]["weight"] == 1.0


def test_what_only_newcomers_need_is_forgotten_with_the_last_of_them(parted):
    method = parted.method
    parted.train(clients=[0, 3])
    assert method.bodies.common is None
    assert method.models.common is None
    assert not [name for name in method.state().tensors if name.startswith(("common", "place", "space"))]


def test_a_round_of_newcomers_only(parted):
    method = parted.method
    before = {name: everything_of(body) for name, body in method.bodies.bodies.items()}
    before = {name: {key: tensor.clone() for key, tensor in own.items()} for name, own in before.items()}
    closed = parted.train(clients=[3])
    assert closed.outcome.facts == {"silhouette": None, "bodies": 2}
    assert closed.outcome.clients.keys() == {3}
    for name, tensors in before.items():
        assert_same_to_the_bit(everything_of(method.bodies.bodies[name]), tensors)


def test_the_number_of_bodies_is_told_whoever_comes(parted):
    """Client 3 is a newcomer, and then a client of one cluster, whose other clients do not come."""
    told = [parted.train(clients=clients).outcome.facts["bodies"] for clients in ([3], [3], [0], [0, 2])]
    assert told == [2, 2, 2, 2]


@pytest.fixture
def left_behind(make):
    """A training whose bodies parted in a round of all clients, of whom client 3 had missed the first."""
    training = make(TWO_AND_ONE, TWO_AND_TWO)
    training.train(absent=(3,))
    training.train()
    assert training.method.bodies.parted
    return training


def test_after_a_drop_out_and_a_full_round_that_parts_a_newcomer_finds_its_cluster(left_behind):
    method = left_behind.method
    assert method.memory.places.keys() == {0, 1}
    closed = left_behind.train()
    assert closed.outcome.clients[3]["weight"] == 0.0
    assert closed.outcome.facts["bodies"] == 2
    assert method.bodies.body_of(3) is method.bodies.bodies[method.clusters()[3]]
    assert left_behind.train(clients=[3]).outcome.clients[3]["weight"] == 1.0


def test_the_places_of_a_round_that_parts_are_those_that_it_has_found(make):
    """Whether clients were absent from it or not: a newcomer is compared with what it saw."""
    training = make(TWO_AND_ONE, TWO_AND_TWO)
    spy = Spy(training.method)
    training.train(absent=(3,))
    training.train()
    seen = [given["statistics"] for given in spy.given][-1]
    means = dict(zip(seen, comparable_means([*seen.values()], "samples"), strict=True))
    assert torch.equal(training.method.memory.places[0], (means[0] + means[1]) / 2)
    assert torch.equal(training.method.memory.places[1], (means[2] + means[3]) / 2)


def test_who_was_told_apart_once_is_counted_to_its_cluster_until_its_next_round(left_behind):
    method = left_behind.method
    assert method.clusters() == {0: 0, 1: 0, 2: 1, 3: 1}
    assert [product.clients for product in method.products()] == [(0, 1), (2, 3)]
    assert method.judged_for([3]).name == "cluster-1"
    assert method.bodies.body_of(3) is method.bodies.common
    groups = method.orders(3, [3]).clients[3].groups
    assert groups
    assert all(name.startswith("common/") for name in groups)
    left_behind.train(clients=[0, 2])
    assert method.clusters()[3] == 1
    spy = Spy(method)
    left_behind.train()
    (given,) = spy.given
    assert given["client_blocks"].keys() == {0, 1, 2}
    assert method.models.undecided == frozenset()
    assert all(name.startswith("cluster-") for name in method.orders(5, [3]).clients[3].groups)


def test_a_cluster_that_nobody_was_told_apart_in_has_clients_but_no_bodies(make):
    """Client 3 was put to a cluster of its own, for want of anything better, and did not come again."""
    training = make(TWO_AND_ONE, TWO_AND_ONE, **{"huscf.judged": "first-client"})
    training.train(clients=[0, 1, 2])
    method = training.method
    method.models.take({3: 2}, {2: method.models.blocks[1]})
    method.memory.in_a_row[3] = 0
    method.memory.places[2] = torch.zeros_like(method.memory.places[0])
    training.train(clients=[0, 1, 2])
    assert method.bodies.bodies.keys() == method.memory.places.keys() == {0, 1}
    assert method.clusters() == {0: 0, 1: 0, 2: 1, 3: 2}
    assert [product.clients for product in method.products()] == [(0, 1), (2,)]
    assert method.judged_for([3]) is None
    training.train(clients=[3])
    assert method.clusters()[3] in (0, 1)


def test_a_method_goes_on_from_its_state_with_clients_that_are_undecided(left_behind):
    facts, tensors = states_of(left_behind.method)
    assert facts["undecided"] == [3]
    other = method_of(left_behind.config, samples=SAMPLES)
    other.load(State(facts, {name: tensor.clone() for name, tensor in tensors.items()}))
    found, same = states_of(other)
    assert found == facts
    assert_same_to_the_bit(same, tensors)
    assert other.clusters() == left_behind.method.clusters()
    assert other.bodies.body_of(3) is other.bodies.common


def test_who_was_found_in_its_cluster_only_once_is_a_newcomer_when_bodies_part(make):
    """Client 3 was found in cluster 1 in the first round, and did not come again."""
    training = make((0, 0, 1, 1), TWO_AND_ONE)
    training.train(clients=[0, 1, 2, 3])
    method = training.method
    assert method.models.common is None  # all were there
    training.train(clients=[0, 1, 2])
    assert not method.bodies.parted  # and so nothing was kept for client 3
    assert method.models.common is not None
    method.averaging.clusterer.rounds = iter([TWO_AND_ONE])
    training.train(clients=[0, 1, 2])
    assert method.bodies.parted
    assert method.clusters() == {0: 0, 1: 0, 2: 1, 3: 1}
    assert method.models.undecided == {3}
    training.train(clients=[3])
    assert method.clusters().keys() == {0, 1, 2, 3}
    assert method.models.undecided == frozenset()


def test_bodies_are_kept_for_newcomers_only_while_they_may_part(make):
    training = make((0, 0), TWO_AND_ONE, TWO_AND_ONE)
    method = training.method
    training.begin([0, 1])
    assert method.bodies.common is None
    training.rounds.take_back()
    method.averaging.clusterer.rounds = iter([(0, 0), TWO_AND_ONE, TWO_AND_ONE])
    training.train(clients=[0, 1])
    training.train(clients=[0, 1, 2])
    assert method.bodies.common is None
    training.begin([0, 1, 2])
    assert method.bodies.common is not None
    training.rounds.take_back()
    assert method.bodies.common is None


def test_a_method_goes_on_from_its_state_with_newcomers_to_come(parted):
    facts, tensors = states_of(parted.method)
    assert {name.split("/")[0] for name in tensors} >= {"common", "space", "place of cluster-0"}
    other = method_of(parted.config, samples=SAMPLES)
    other.load(State(facts, {name: tensor.clone() for name, tensor in tensors.items()}))
    found, same = states_of(other)
    assert found == facts
    assert_same_to_the_bit(same, tensors)
    assert other.bodies.body_of(3) is other.bodies.common


@pytest.mark.slow
def test_a_round_with_a_newcomer_that_is_taken_back_leaves_all_as_it_was(parted):
    facts, tensors = states_of(parted.method)
    parted.begin([0, 2, 3])
    parted.rounds.take_back()
    found, same = states_of(parted.method)
    assert found == facts
    assert_same_to_the_bit(same, tensors)
