"""Models that stay on clients, on the local engine: what their scores are, and where they go.

When they are evaluated: test_own_models_rounds.py.
"""

import json
import re
from functools import partial
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
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.run.tensorboard import FOLDER_NAME
from tests.evaluation.pages import Page
from tests.quick import mostly_slow
from tests.run.builders import (
    DOMAINS,
    METHODS,
    SilentDisplay,
    evaluations,
    method_class,
)
from tests.run.own_models import CLASSIFYING, KEEPING, clients_of, config_of, train
from tests.run.poisoning import WEIGHTS


@pytest.fixture
def make(images, tmp_path):
    return partial(config_of, images, tmp_path)


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
    folder = train(make(method, **{"checkpoint.keep_last": 3, "evaluation.every": 0}), hosts)
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
    folder = train(make(method, rounds=2, **{"evaluation.every": 0}))
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    keeping = keeps_models(method_class(method).client)
    assert ("own-models" in page.sections) is keeping
    assert ("Models that stay on clients" in page.text) is keeping
    # A generator that all share is judged by domain, and classifiers are not.
    assert ("own models" in page.text) is (keeping and method not in ("fedvtc", "gefl", "gefl-dcgan"))
