import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation import Clustering, FeatureSpace, RoundResult
from huscf_flwr.federation.known_clusters import found_among_all
from huscf_flwr.methods.contract import State
from huscf_flwr.methods.huscf.cluster_memory import ClusterMemory

MEANS = {client: torch.tensor([float(client), 0.0]) for client in range(4)}


def result(clusters, told_apart=(), places=None, features=None):
    """Of a round; what it averaged does not matter here."""
    return RoundResult(clusters, None, frozenset(told_apart), places or {}, features, {}, {}, {}, {}, {}, {})


class Rounds:
    """A memory, and the clusters that it is told of."""

    def __init__(self, clients):
        self.memory, self.clusters = ClusterMemory(range(clients)), {}

    def round(self, clusters, told_apart=None):
        """Take in a round that found ``clusters``, by default all told apart; return whether they agree."""
        told_apart = clusters if told_apart is None else told_apart
        places = {cluster: torch.ones(2) for client, cluster in clusters.items() if client in told_apart}
        before, found = self.clusters, result(clusters, told_apart, places)
        self.clusters = {**before, **clusters}
        self.memory.take(before, found)
        return self.memory.agree(before, self.clusters, found)


def test_a_client_is_sure_when_two_rounds_in_a_row_have_found_it_in_its_cluster():
    rounds = Rounds(4)
    rounds.round({0: 0, 1: 0, 2: 1})
    assert rounds.memory.told_apart == {0, 1, 2}
    assert rounds.memory.sure == frozenset()
    rounds.round({0: 0, 2: 1})
    assert rounds.memory.sure == {0, 2}
    rounds.round({1: 0, 3: 0}, told_apart=())  # a single group: it says nothing
    assert rounds.memory.in_a_row == {0: 2, 1: 1, 2: 2, 3: 0}
    rounds.round({1: 1, 2: 0, 3: 0}, told_apart=(1, 3))
    assert rounds.memory.in_a_row == {0: 2, 1: 1, 2: 0, 3: 1}


def test_rounds_agree_once_more_than_half_are_sure_and_nobody_moves():
    rounds = Rounds(5)
    assert not rounds.round({0: 0, 1: 0, 2: 1})
    assert not rounds.round({0: 0, 2: 1})  # two of five are sure
    assert not rounds.round({1: 0, 0: 0})  # three are, but of cluster 1 nobody came
    assert rounds.round({1: 0, 2: 1})
    assert not rounds.round({1: 0, 2: 1, 0: 1})  # one has moved
    assert not rounds.round({1: 0, 2: 1})  # two are left that are sure
    assert rounds.round({0: 1, 2: 1, 1: 0})


def test_rounds_do_not_agree_on_a_cluster_that_only_one_of_them_has_found():
    rounds = Rounds(4)
    for _ in range(2):
        rounds.round({0: 0, 1: 0, 2: 0}, told_apart=(0, 1, 2))
    assert not rounds.round({0: 0, 1: 0, 2: 0, 3: 1})
    assert rounds.round({0: 0, 1: 0, 2: 0, 3: 1})


partitions = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=8)


@settings(deadline=None, max_examples=200)
@given(partitions)
def test_where_all_clients_are_in_each_round_two_in_a_row_must_agree(found):
    """The rule that was there when all clients always were: now as before, and more than one cluster."""
    rounds, before = Rounds(4), dict.fromkeys(range(4), 0)
    for labels in found:
        known = rounds.clusters
        clustering = Clustering(
            tuple({label: i for i, label in enumerate(dict.fromkeys(labels))}[x] for x in labels), None
        )
        named = found_among_all(MEANS, torch.stack([*MEANS.values()]), clustering, known)
        agreed = rounds.round(named.clusters, named.told_apart)
        assert agreed == (len(set(named.clusters.values())) > 1 and named.clusters == before)
        assert not agreed or rounds.memory.everybody_is_sure
        assert rounds.memory.known(range(4)) is None
        assert rounds.memory.places == {}
        before = named.clusters


def test_evidence_is_that_of_the_last_round_that_told_all_clients_apart():
    memory, first, second = Rounds(2).memory, torch.ones(2, 3), torch.ones(2, 6)
    assert memory.evidence is None
    memory.take({}, result({0: 0, 1: 1}, (0, 1), features=first))
    assert memory.evidence is first
    memory.take({0: 0, 1: 1}, result({0: 0, 1: 0}, (), features=second))  # a single group
    memory.take({0: 0, 1: 0}, result({0: 0}, (0,)))  # somebody was absent
    assert memory.evidence is first
    memory.take({0: 0, 1: 0}, result({0: 0, 1: 1}, (0, 1), features=second))
    assert memory.evidence is second
    loaded = Rounds(2).memory
    loaded.load(memory.state())
    assert loaded.evidence.equal(second)
    memory.settle([0, 1], {0: torch.ones(2), 1: torch.ones(2)}, FeatureSpace())
    assert memory.evidence is None
    loaded.load(memory.state())
    assert loaded.evidence is None


def test_a_round_without_some_clients_has_to_know_what_was_found():
    memory = Rounds(3).memory
    memory.take({}, result({0: 0, 1: 1}, (0,), {0: torch.ones(2)}))
    known = memory.known([0, 1])
    assert known.told_apart == {0}
    assert known.places.keys() == {0}
    assert memory.known([0, 1, 2]) is None


def test_places_are_kept_from_the_first_round_on_that_somebody_is_absent_from():
    rounds = Rounds(3)
    rounds.round({0: 0, 1: 1, 2: 1})
    assert rounds.memory.places == {}
    rounds.round({0: 0, 1: 1})
    assert rounds.memory.places.keys() == {0, 1}
    rounds.round({0: 0, 1: 1, 2: 2})
    assert rounds.memory.places.keys() == {0, 1, 2}


def test_once_bodies_have_parted_only_clusters_that_have_some_have_a_place():
    memory = ClusterMemory(range(4))
    memory.settle([2, 0], {0: torch.zeros(2), 1: torch.ones(2), 2: torch.full((2,), 9.0)}, FeatureSpace())
    assert list(memory.places) == [0, 2]
    assert memory.nearest({3: torch.ones(2)}) == {3: 0}


def test_a_newcomer_goes_where_it_is_nearest_in_the_space_of_features():
    memory = ClusterMemory(range(4))
    memory.places = {2: torch.tensor([0.0, 0.0]), 5: torch.tensor([4.0, 1.0])}
    mean = torch.tensor([3.0, 0.0])
    assert memory.nearest({7: mean}) == {7: 5}
    memory.space = FeatureSpace(spread=torch.tensor([100.0, 1.0]))
    assert memory.nearest({7: mean, 3: torch.tensor([0.0, 0.9])}) == {3: 5, 7: 2}
    memory.forget_places()
    assert (memory.places, memory.space.spread) == ({}, None)


@pytest.mark.parametrize(
    "space", [FeatureSpace(), FeatureSpace(directions=torch.eye(2), spread=torch.ones(2))]
)
def test_a_memory_goes_on_from_its_state(space):
    memory = ClusterMemory(range(3))
    memory.take({}, result({0: 0, 1: 1}, (0,), {0: torch.tensor([1.0, 2.0])}))
    memory.space = space
    state = memory.state()
    other = ClusterMemory(range(3))
    other.load(State({**state.facts, "more": 1}, {**state.tensors, "body/x": torch.ones(1)}))
    assert other.in_a_row == memory.in_a_row == {0: 1, 1: 0}
    assert other.places.keys() == {0}
    assert other.places[0].equal(memory.places[0])
    assert {k: v is None for k, v in vars(other.space).items()} == {
        k: v is None for k, v in vars(space).items()
    }
