"""When models that stay on clients are evaluated, also in a run that stops, dies, goes back or goes on."""

import signal
from functools import cache, partial

import pytest

from huscf_flwr.run import host
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest
from huscf_flwr.run.run import Run
from huscf_flwr.run.run_folder import read_metrics, read_summary
from tests.quick import mostly_slow
from tests.run.builders import (
    SilentDisplay,
    assert_same_run,
    evaluations,
)
from tests.run.own_models import CLASSIFYING, KEEPING, clients_of, config_of, rounds_of, train


@pytest.fixture
def make(images, tmp_path):
    return partial(config_of, images, tmp_path)


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """Gives the folder of a method's run that nothing has stopped; it is trained once, and only read."""
    return cache(lambda method: train(config_of(images, tmp_path_factory.mktemp("whole"), method)))


def found_in(folder):
    """What evaluations found; whether one was the last depends on how many rounds were asked for then."""
    return [{key: line[key] for key in line if key != "thorough"} for line in evaluations(folder)]


@pytest.mark.parametrize(("every", "due"), [(0, [3]), (1, [1, 2, 3]), (2, [2, 3]), (3, [3])])
def test_they_are_evaluated_every_so_many_rounds_and_at_the_end(make, every, due):
    folder = train(make(**{"evaluation.every": every}))
    assert rounds_of(folder) == due
    assert all(clients_of(line) == [0, 1, 2, 3] for line in evaluations(folder))


@pytest.mark.slow
@pytest.mark.parametrize("hosts", mostly_slow([1, 2], 2))
@pytest.mark.parametrize("method", mostly_slow(CLASSIFYING, "fedproto"))
def test_a_resumed_run_has_the_same_evaluations(make, method, hosts):
    settings = {"method": method, "data.held_out": 0.2}
    whole = train(make(name="whole", **settings), hosts)
    half = train(make(name="rest", **settings, rounds=1), hosts)
    rest = train(make(name="rest", **settings, resume=half), hosts)
    assert found_in(rest) == found_in(whole)
    assert [line["thorough"] for line in evaluations(rest)] == [True, False, True]
    assert read_summary(rest)["own_models"] == read_summary(whole)["own_models"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["local", "fedproto"])
def test_a_run_that_turns_out_to_be_over_is_evaluated_thoroughly(make, method):
    """It was stopped after round 2 of 3, and is resumed with no more rounds than that."""
    settings = {"evaluation.synthetic_images": 40}

    class Stopped(SilentDisplay):
        def evaluation(self, line):
            if line["round"] == 2:
                request.take(signal.SIGINT)

    request = StopRequest()
    with pytest.raises(InterruptedRunError):
        train(make(method, **settings), display=Stopped(), stop=request)
    stopped = make(method).folder
    assert [line["thorough"] for line in evaluations(stopped)] == [False, False]
    rest = train(make(method, **settings, rounds=2, resume=stopped))
    whole = train(make(method, "whole", **settings, rounds=2))
    assert evaluations(rest) == evaluations(whole)
    for part in ("own_models", "domains"):
        assert read_summary(rest)[part] == read_summary(whole)[part]
    assert ("fid" in read_summary(rest)["own_models"].get("generated", {})) is (method == "local")
    again = train(make(method, **settings, rounds=2, resume=rest))
    assert evaluations(again) == evaluations(whole)


@pytest.mark.slow
def test_a_run_that_goes_back_forgets_what_came_later(make):
    settings = {"checkpoint.keep_last": 3}
    first = train(make(**settings))
    kept = evaluations(first)
    again = train(make(**settings, resume=first, resume_round=1))
    assert rounds_of(again) == [1, 2, 3]
    assert evaluations(again) == kept


class Death(Exception):
    """As if the process had been killed."""


@pytest.mark.slow
@pytest.mark.parametrize("dies_after", mostly_slow([1, 3], 1))
@pytest.mark.parametrize("method", mostly_slow(KEEPING, "fedproto"))
def test_a_run_that_died_between_a_round_and_its_evaluation_makes_up_for_it(
    make, whole, monkeypatch, method, dies_after
):
    def die(run, *found):
        if run.rounds.number == dies_after:
            raise Death
        return close(run, *found)

    close = Run.close_evaluation
    with monkeypatch.context() as patched:
        patched.setattr(Run, "close_evaluation", die)
        with pytest.raises(Death):
            train(make(method, "died"))
    died = make(method, "died").folder
    assert [line["round"] for line in read_metrics(died)] == list(range(1, dies_after + 1))
    assert rounds_of(died) == list(range(1, dies_after))
    rest = train(make(method, "died", resume=died))
    assert evaluations(rest) == evaluations(whole(method))
    assert_same_run(rest, whole(method))
    for part in ("own_models", "domains"):
        assert read_summary(rest)[part] == read_summary(whole(method))[part]


def test_between_two_clients_it_can_be_stopped(make, whole, monkeypatch):
    """The evaluation begins anew when the run goes on."""
    request = StopRequest()

    def scores_then_stop(member, *arguments, **options):
        if (member.client, options["number"]) == (1, 2):
            request.take(signal.SIGINT)
        return own_scores(member, *arguments, **options)

    own_scores = host.own_scores
    with monkeypatch.context() as patched:
        patched.setattr(host, "own_scores", scores_then_stop)
        with pytest.raises(InterruptedRunError, match="round 2 is the last that is kept") as stopped:
            train(make(), stop=request)
    folder = stopped.value.resumable
    assert rounds_of(folder) == [1]
    assert evaluations(train(make(resume=folder))) == evaluations(whole("fedproto"))


OF_THE_JUDGE = {"label_fidelity", "generation_score"}


@pytest.mark.slow
def test_what_takes_long_is_scored_at_the_end_only(whole):
    first, _, last = evaluations(whole("local"))
    assert first["scores"]["generated"].keys() == OF_THE_JUDGE
    assert last["scores"]["generated"].keys() == {*OF_THE_JUDGE, "fid", "judge_accuracy"}
