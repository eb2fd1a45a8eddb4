"""A method goes on from a state, whatever it was in before; and tells of it what the other told."""

import json

import pytest

from huscf_flwr.cuts import ExactSolver
from huscf_flwr.methods.contract import State
from huscf_flwr.models import Cut
from tests.methods.huscf.builders import ScriptedClusters, huscf_training
from tests.methods.huscf.scripted_cuts import script_cuts
from tests.quick import mostly_slow
from tests.run.builders import assert_same_state, assert_same_to_the_bit

SAMPLES = {0: 16, 1: 9, 2: 5, 3: 7}
ROUNDS = {
    "new": [],
    "shared": [((0, 0, 1, 1), [0, 1, 2, 3])],
    "parted": [((0, 0, 1, 1), [0, 1, 2, 3])] * 2,
    "parted in other clusters": [((0, 1, 2, 2), [0, 1, 2, 3])] * 2,
    "parted with a client left behind": [((0, 0, 1), [0, 1, 2])] * 2,
}


def trained(place, name):
    """A training of the rounds of this name; one more finds two clusters."""
    labels = ScriptedClusters(*(found for found, _ in ROUNDS[name]), (0, 0, 1, 1))
    training = huscf_training(place, samples=SAMPLES, parts={"clusterer": labels})
    for _, clients in ROUNDS[name]:
        training.train(clients=clients)
    assert training.method.bodies.parted == name.startswith("parted")
    return training


def through_a_file(state):
    return State(json.loads(json.dumps(state.facts)), state.copied().tensors)


@pytest.fixture(scope="module", params=ROUNDS)
def saved(request, tmp_path_factory):
    """What a server remembers after the rounds of this name."""
    return trained(tmp_path_factory.mktemp("saved"), request.param).method.state()


@pytest.mark.parametrize(
    "before", mostly_slow(["new", "parted", "parted in other clusters"], "parted in other clusters")
)
def test_a_state_can_be_loaded_into_any_method(saved, before, tmp_path):
    state, training = through_a_file(saved), trained(tmp_path, before)
    training.method.load(state)
    assert_same_state(training.method.state(), state)
    bodies = len(state.facts["cluster_names"]) if state.facts["parted"] else 1
    assert training.train().outcome.facts["bodies"] == bodies


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """Makes trainings whose first client gets another cut after the first round."""
    script_cuts(monkeypatch, {1: {0: Cut(2, 2, 2, 2)}})
    settings = {"cuts.dynamic": "true", "huscf.judged": "first-client"}
    cuts = dict.fromkeys(range(3), Cut())
    return lambda name: huscf_training(tmp_path / name, cuts=cuts, **settings)


def test_what_a_client_ran_in_the_last_round_is_judged_after_a_resume_too(moved):
    one, other = moved("one"), moved("other")
    one.train()
    other.method.load(through_a_file(one.method.state()))
    assert other.method.cuts.now[0] == Cut(2, 2, 2, 2)
    assert other.method.cuts.of_last_round == one.method.cuts.of_last_round == dict.fromkeys(range(3), Cut())
    found, expected = other.method.judged_for([0]), one.method.judged_for([0])
    assert_same_to_the_bit(found.tensors, expected.tensors)


def assert_told_alike(found, expected):
    assert found.documents() == expected.documents()
    assert found.predicted_step_s() == expected.predicted_step_s()


def test_cuts_that_were_changed_are_written_as_before_after_a_resume(moved):
    one, other = moved("one"), moved("other")
    one.train()
    assert one.method.documents()["cuts"]["solver"] == "scripted"
    other.method.load(through_a_file(one.method.state()))
    assert_told_alike(other.method, one.method)


def test_cuts_that_have_stayed_keep_what_was_proven_of_them(tmp_path, monkeypatch):
    """And what was predicted, though devices are believed to be others since."""
    script_cuts(monkeypatch, {})
    settings = {"parts": {"cut_solver": ExactSolver()}, "cuts.dynamic": "true"}
    one, other = (huscf_training(tmp_path / name, **settings) for name in ("one", "other"))
    one.train()
    assert one.method.documents()["cuts"]["gap"] == 0
    other.method.load(through_a_file(one.method.state()))
    assert_told_alike(other.method, one.method)
