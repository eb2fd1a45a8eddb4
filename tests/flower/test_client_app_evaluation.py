"""The ClientApp's handler for evaluations; together with the others it is tested in test_own_models.py."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from huscf_flwr import methods
from huscf_flwr.evaluation.domain_scores import DomainScores
from huscf_flwr.evaluation.scores import DivergedError
from huscf_flwr.flower import client_app
from huscf_flwr.flower import owner as owner_module
from huscf_flwr.flower.messages import EVALUATE, EvaluateRequest
from huscf_flwr.flower.owner import owner_of
from huscf_flwr.methods.contract import Crossing
from huscf_flwr.run import host
from tests.flower.handlers import Service, answered, ask, context, evaluation_of, trained
from tests.run.builders import METHODS, small_run


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own(images, tmp_path):
    return {"client_id": 0, "data_folder": str(images / "digits"), "state_folder": str(tmp_path / "state")}


@pytest.mark.parametrize("method", ["huscf", "fedgan"])
@pytest.mark.parametrize("own", [{}, {"client_id": 1, "data_folder": "/data"}])
def test_only_the_owner_of_a_client_judges_for_it(images, tmp_path, method, own):
    config = small_run(images, tmp_path, method=method)
    request = EvaluateRequest(evaluation_of(), 1, 0).to_records(methods.method_of(config))
    with pytest.raises(ValueError, match="client 0 is not owned by this SuperNode"):
        ask(request, EVALUATE, context(config, **own))


def evaluated(config, where, order):
    reply = answered(config, where, EvaluateRequest(order, 1))
    assert (reply.products, reply.drop_outs) == ({}, {})
    return reply.own


@pytest.fixture(params=["fedproto", "local-classifier"])
def classifying(images, tmp_path, request):
    return small_run(images, tmp_path, **METHODS[request.param], **{"data.held_out": 0.2})


def test_hosts_score_their_virtual_clients_own_models(classifying):
    """Whoever has never trained has the model that it begins with."""
    service = Service(classifying, None, {0: 24, 1: 24})
    _, kept = trained(service, context(classifying))
    order = replace(evaluation_of(0, 3, kept={0: kept[0]}), training=service.rounds.training)
    found = evaluated(classifying, context(classifying), order)
    assert {client: set(own) for client, own in found.items()} == {k: {"test", "held_out"} for k in (0, 3)}
    untrained = evaluated(classifying, context(classifying), replace(order, kept={}))
    assert untrained[3] == found[3]
    assert untrained[0]["test"]["loss"] != found[0]["test"]["loss"]


def test_an_owner_scores_its_own_model_on_its_own_images(classifying, own):
    service = Service(classifying, None, {0: 48})
    where = context(classifying, **own)
    _, kept = trained(service, where)
    order = replace(evaluation_of(0, kept=kept), training=service.rounds.training)
    found = evaluated(classifying, where, order)
    assert {client: set(scores) for client, scores in found.items()} == {0: {"test", "held_out"}}


def test_a_client_whose_model_has_diverged_is_told_to_have_no_scores(classifying, monkeypatch):
    def scored(member, *_, **__):
        if member.client == 3:
            raise DivergedError("client 3's classifier: it has diverged")
        return {"test": {"accuracy": 0.5}}

    monkeypatch.setattr(host, "own_scores", scored)
    reply = answered(classifying, context(classifying), EvaluateRequest(evaluation_of(0, 3), 1))
    assert reply.own == {0: {"test": {"accuracy": 0.5}}}
    assert reply.drop_outs == {3: "client 3's classifier: it has diverged"}


@pytest.mark.parametrize(("accuracy", "warned"), [(0.3, True), (0.95, False)])
def test_an_owner_is_warned_of_a_judge_that_is_often_wrong(
    images, tmp_path, own, monkeypatch, caplog, accuracy, warned
):
    """Of its own generator, and of a product that it judges."""
    scores = {"generated": {"judge_accuracy": accuracy}}
    monkeypatch.setattr(host, "own_scores", lambda *_, **__: scores)
    alone = small_run(images, tmp_path, method="local")
    answered(alone, context(alone, **own), EvaluateRequest(evaluation_of(0), 1))
    said = f"the judge of client 0's images is right on {accuracy:.3f}"
    assert (said in caplog.text) == warned
    caplog.clear()
    monkeypatch.setattr(owner_module, "judge_domain", lambda *_: DomainScores(judge_accuracy=accuracy))
    monkeypatch.setattr(owner_module, "load_or_train_judge", lambda *_, **__: None)
    judges = SimpleNamespace(sampler=lambda *_: None, crossing=Crossing())
    owner_of(context(alone, **own)).judge(alone, judges, {})
    assert (said in caplog.text) == warned


def test_an_evaluation_ends_when_nobody_waits_for_it_any_more(images, tmp_path, monkeypatch):
    """After the client that it takes too long with."""
    clock, scored = [0.0], []

    def scores(member, *_, **__):
        scored.append(member.client)
        clock[0] += 40.0
        return {}

    monkeypatch.setattr(host, "own_scores", scores)
    monkeypatch.setattr(client_app.time, "monotonic", lambda: clock[0])
    config = small_run(images, tmp_path, **METHODS["fedproto"], **{"evaluation.seconds": 60.0})
    with pytest.raises(TimeoutError, match=r"longer than evaluation\.seconds = 60"):
        answered(config, context(config), EvaluateRequest(evaluation_of(0, 1, 2, 3), 1))
    assert scored == [0, 1]


def test_nobody_scores_the_model_of_anothers_client(classifying, own):
    with pytest.raises(ValueError, match="client 3 is not owned by this SuperNode, which owns client 0"):
        evaluated(classifying, context(classifying, **own), evaluation_of(3))
