"""Models that stay on clients, on the local engine: when they are evaluated, and where the scores go."""

import json
import re
import signal
from functools import cache, partial
from statistics import mean, pstdev

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from huscf_flwr.data import population_of
from huscf_flwr.methods.contract import keeps_models
from huscf_flwr.models import model_spec_of
from huscf_flwr.run import host
from huscf_flwr.run.checkpoint import read_checkpoint
from huscf_flwr.run.display import evaluation_line
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run import Run
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.run.tensorboard import FOLDER_NAME
from tests.evaluation.pages import Page
from tests.quick import mostly_slow
from tests.run.builders import (
    DOMAINS,
    METHODS,
    SilentDisplay,
    assert_same_run,
    evaluations,
    method_class,
    small_run,
)
from tests.run.poisoning import WEIGHTS

KEEPING = ("fedproto", "local", "local-classifier")
"""Methods whose models stay on clients: one of each kind."""
CLASSIFYING = ("fedproto", "local-classifier")


def config_of(images, place, method="fedproto", name="small", **settings):
    given = {"model.width": 0.03, "rounds": 3, "evaluation.synthetic_images": 0, **METHODS[method]}
    return small_run(images, place, name=name, **{**given, **settings})


@pytest.fixture
def make(images, tmp_path):
    return partial(config_of, images, tmp_path)


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """Gives the folder of a method's run that nothing has stopped; it is trained once, and only read."""
    return cache(lambda method: train(config_of(images, tmp_path_factory.mktemp("whole"), method)))


def train(config, hosts=1, display=None, **parts):
    train_locally(config, hosts=hosts, display=display or SilentDisplay(), **parts)
    return config.folder


def rounds_of(folder):
    return [line["round"] for line in evaluations(folder)]


def clients_of(line):
    return [client["id"] for client in line["clients"]]


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


def spreads(line, on="test"):
    """Mean, worst and standard deviation over clients, from what each of them found."""
    found = {}
    for client in line["clients"]:
        for name, value in client.get(on, {}).items():
            found.setdefault(name, []).append(value)
    worst = {name: max if name in ("loss", "fid") else min for name in found}
    return {
        name: {"mean": mean(values), "worst": worst[name](values), "spread": pstdev(values)}
        for name, values in found.items()
    }


@pytest.mark.parametrize("method", mostly_slow(KEEPING, "fedproto", "local-classifier"))
def test_the_summary_has_mean_worst_and_spread_over_clients(make, method):
    folder = train(make(method, **{"data.held_out": 0.2}))
    last = evaluations(folder)[-1]
    found = read_summary(folder)["own_models"]
    generates = method == "local"
    assert found.keys() == ({"generated"} if generates else {"test", "held_out"})
    for on, own in found.items():
        expected = spreads(last, on)
        assert own.keys() == expected.keys()
        for name, statistics in own.items():
            assert statistics == pytest.approx(expected[name]), (on, name)
    scored = found["generated"] if generates else found["test"]
    assert set(scored) >= ({"label_fidelity", "fid"} if generates else {"accuracy", "f1", "loss"})


@pytest.mark.parametrize("method", KEEPING)
def test_a_domains_scores_are_the_means_over_its_clients(make, method):
    config = make(method, rounds=1)
    domain_of = population_of(config, model_spec_of(config)).domain_of()
    folder = train(config)
    (line,) = evaluations(folder)
    summary = read_summary(folder)
    about = "generated" if method == "local" else "test"
    assert line["domains"] == summary["domains"]
    assert summary["products"] == {}
    assert summary["domains"].keys() == set(DOMAINS)
    for name in DOMAINS:
        own = [client for client in line["clients"] if domain_of[client["id"]] == name]
        scores = dict(summary["domains"][name])
        assert scores.pop("product") == "own models"
        expected = {score: each["mean"] for score, each in spreads({"clients": own}, about).items()}
        assert scores == pytest.approx(expected)


@pytest.mark.slow
def test_what_takes_long_is_scored_at_the_end_only(whole):
    first, _, last = evaluations(whole("local"))
    assert first["scores"]["generated"].keys() == {"label_fidelity", "generation_score"}
    assert last["scores"]["generated"].keys() == {"label_fidelity", "generation_score", "fid"}


def test_who_shares_nothing_is_judged_though_nobody_else_is(make):
    """Without a judge of all domains there are no scores by domain; clients judge their own all the same."""
    folder = train(make("local", rounds=1), judged=False)
    (line,) = evaluations(folder)
    assert clients_of(line) == [0, 1, 2, 3]
    assert "domains" not in line
    assert read_summary(folder)["domains"] is None


@pytest.mark.slow
def test_a_share_of_the_clients_evaluates_the_same_for_any_number_of_hosts(make):
    settings = {"fraction_evaluate": 0.5, "rounds": 4}
    one, two = (train(make(name=f"hosts-{hosts}", **settings), hosts) for hosts in (1, 2))
    assert evaluations(one) == evaluations(two)
    asked = [tuple(clients_of(line)) for line in evaluations(one)]
    assert {len(clients) for clients in asked} == {2}
    assert len(set(asked)) > 1


def test_with_a_share_of_nobody_nobody_evaluates(make):
    folder = train(make(fraction_evaluate=0, rounds=1))
    assert evaluations(folder) == []
    assert "own_models" not in read_summary(folder)


def test_who_never_trained_is_scored_with_the_model_that_it_began_with_and_counted(make):
    folder = train(make(fraction_train=0.25))
    trained = [{client["id"] for client in line["clients"]} for line in read_metrics(folder)]
    assert {len(clients) for clients in trained} == {1}
    for number, line in enumerate(evaluations(folder), start=1):
        assert clients_of(line) == [0, 1, 2, 3]
        assert line["trained"] == len(set().union(*trained[:number]))
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "had not trained in any round so far" in " ".join(page.text.split())


@pytest.fixture
def diverge(monkeypatch):
    """Lets the models of some clients give what is not a number, when they are scored after a round."""

    def diverge_after(number, *clients):
        def scored(member, *arguments, **options):
            if options["number"] == number and member.client in clients:
                with torch.no_grad():
                    WEIGHTS[type(member)](member).fill_(float("nan"))
            return own_scores(member, *arguments, **options)

        own_scores = host.own_scores
        monkeypatch.setattr(host, "own_scores", scored)

    return diverge_after


@pytest.mark.parametrize("hosts", mostly_slow([1, 2], 2))
@pytest.mark.parametrize("method", mostly_slow(CLASSIFYING, "fedproto"))
def test_a_client_whose_model_has_diverged_has_no_scores_and_the_run_goes_on(make, diverge, method, hosts):
    diverge(2, 1)
    display = SilentDisplay()
    folder = train(make(method), hosts, display)
    assert [clients_of(line) for line in evaluations(folder)] == [[0, 1, 2, 3], [0, 2, 3], [0, 1, 2, 3]]
    assert [line["drop_outs"] for line in evaluations(folder)][::2] == [[], []]
    (dropped,) = evaluations(folder)[1]["drop_outs"]
    assert dropped["id"] == 1
    assert "client 1's classifier: some of its logits are not finite" in dropped["reason"]
    (note,) = [note for note in display.notes if "evaluation" in note]
    assert note == f"client 1 dropped out of the evaluation after round 2: {dropped['reason']}"
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(line["level"], line["client"]) for line in log if line["message"] == note] == [("WARNING", 1)]


def test_a_run_whose_models_have_all_diverged_comes_to_its_end(make, diverge):
    diverge(3, 0, 1, 2, 3)
    folder = train(make())
    last = evaluations(folder)[-1]
    assert (clients_of(last), last["scores"]) == ([], {})
    assert [dropped["id"] for dropped in last["drop_outs"]] == [0, 1, 2, 3]
    assert "own_models" not in read_summary(folder)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "Why 4 clients had no scores" in " ".join(page.text.split())


@pytest.mark.parametrize("hosts", mostly_slow([1, 2], 2))
@pytest.mark.parametrize("method", mostly_slow([*KEEPING, "fedgan", "huscf"], "fedproto", "fedgan"))
def test_a_client_that_its_last_batch_breaks_drops_out_and_goes_on_from_the_round_before(
    make, monkeypatch, method, hosts
):
    """No loss tells of it any more; nor does an upload, where there is none."""
    kind = method_class(method).client
    private, begin, rounds = kind.private, kind.begin, {}

    def counted(member, number, order):
        rounds[member.client] = number
        begin(member, number, order)

    def broken(member):
        kept = dict(private(member))
        if (member.client, rounds[member.client]) == (1, 2):
            name = max(kept)
            kept[name] = torch.full_like(kept[name], float("inf"))
        return kept

    monkeypatch.setattr(kind, "begin", counted)
    monkeypatch.setattr(kind, "private", broken)
    folder = train(make(method, **{"checkpoint.keep_last": 3}), hosts)
    lines = read_metrics(folder)
    assert [[client["id"] for client in line["clients"]] for line in lines] == [
        [0, 1, 2, 3],
        [0, 2, 3],
        [0, 1, 2, 3],
    ]
    (dropped,) = lines[1]["drop_outs"]
    assert (dropped["id"], dropped["step"]) == (1, None)
    assert re.fullmatch(r"client 1: after the last batch \S+ is not finite", dropped["reason"])
    kept = [read_checkpoint(folder, number).state.kept[1] for number in (1, 2, 3)]
    assert [each.round for each in kept] == [1, 1, 3]


def test_class_means_are_those_of_the_round_that_was_just_closed(make, monkeypatch):
    """Also for clients that have never trained, and the same for any number of hosts."""
    seen = {}

    def scored(member, *arguments, **options):
        seen[options["number"], member.client] = member._global["means"]
        return own_scores(member, *arguments, **options)

    own_scores = host.own_scores
    monkeypatch.setattr(host, "own_scores", scored)
    settings = {"fraction_train": 0.25, "checkpoint.keep_last": 3}
    folder = train(make(**settings))
    for number in (1, 2, 3):
        state = read_checkpoint(folder, number).tensors
        for client in range(4):
            assert torch.equal(seen[number, client], state["means"][state["known"]])
    assert evaluations(train(make(name="two", **settings), 2)) == evaluations(folder)


def test_the_display_is_told(make):
    display = SilentDisplay()
    train(make(), display=display)
    assert [evaluation_line(line).split("  |")[0] for line in display.evaluations] == [
        f"round {number}: own models of 4 clients" for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_their_scores_have_curves_in_tensorboard_also_after_a_resume(make):
    settings = {"tensorboard": "true", "data.held_out": 0.2}
    half = train(make(**settings, rounds=2))
    folder = train(make(**settings, resume=half))
    events = EventAccumulator(str(folder / FOLDER_NAME))
    events.Reload()
    curves = {
        name: [(point.step, point.value) for point in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if name.startswith("own models")
    }
    lines = evaluations(folder)
    assert curves
    for on, title in (("test", "own models test"), ("held_out", "own models held out")):
        for statistic in ("mean", "worst"):
            assert curves[f"{title} {statistic}/accuracy"] == [
                (line["round"], pytest.approx(line["scores"][on]["accuracy"][statistic])) for line in lines
            ]


@pytest.mark.parametrize("method", mostly_slow(METHODS, "fedproto", "fedgan"))
def test_the_report_has_their_section_where_there_are_some(make, method):
    folder = train(make(method, rounds=2))
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    keeping = keeps_models(method_class(method).client)
    assert ("own-models" in page.sections) is keeping
    assert ("Models that stay on clients" in page.text) is keeping
    # A generator that all share is judged by domain, and classifiers are not.
    assert ("own models" in page.text) is (keeping and method not in ("fedvtc", "gefl", "gefl-dcgan"))
