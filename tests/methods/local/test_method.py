import math

import pytest

from huscf_flwr.config import RunConfig
from huscf_flwr.methods import method_named, method_of, resolved
from huscf_flwr.methods.contract import State, keeps_models
from huscf_flwr.methods.local import Local, LocalClassifier
from tests.methods.classifiers import GivenImages
from tests.run.builders import SAMPLES, SMALL_FAMILY, images_of_client, small_run


@pytest.fixture(params=["generator", "classifier"])
def make(request, tmp_path):
    def training(**settings):
        given = {
            "local.task": request.param,
            "model.width": 0.03,
            "classifier.family": SMALL_FAMILY,
        }
        config = small_run(tmp_path, tmp_path, method="local", clients=3, **given, **settings)
        return GivenImages(config, {client: images_of_client(client, n) for client, n in SAMPLES.items()})

    return training


def test_its_name_and_task_find_it():
    assert method_named("local") is Local
    assert method_of(RunConfig(method="local")) is Local
    for task, expected in (("generator", Local), ("classifier", LocalClassifier)):
        config = RunConfig.model_validate({"method": "local", "local": {"task": task}})
        assert method_of(config) is method_of(resolved(config)) is expected
    assert all(keeps_models(method.client) for method in (Local, LocalClassifier))


def test_a_task_that_is_none():
    with pytest.raises(ValueError, match=r"'local\.task' is 'both'"):
        resolved(RunConfig.model_validate({"method": "local", "local": {"task": "both"}}))


def test_a_round_has_as_many_steps_as_the_largest_of_its_clients_has_batches(make):
    method = make(local_epochs=3).method
    assert method.steps(1, [0, 1, 2]) == 3 * math.ceil(16 / 8)
    assert method.steps(1, [1, 2]) == 3 * math.ceil(9 / 8)


def test_the_server_has_nothing_before_a_round_and_after_it(make):
    training = make()
    for _ in range(2):
        assert training.method.state() == State({}, {})
        assert training.method.products() == []
        assert training.method.judged_for([0, 1]) is None
        assert training.method.clusters() == {}
        closed = training.train()
        assert (closed.outcome.facts, closed.outcome.clients) == ({}, {})
    training.method.load(State({}, {}))


def test_nothing_can_be_drawn_on_the_server(make):
    training = make()
    with pytest.raises(ValueError, match="what local trains stays on the clients"):
        type(training.method).sampler(training.config, {})


def test_a_client_that_drops_out_changes_nothing_for_the_others(make):
    training = make()
    training.train()
    closed = training.train(absent=(0,))
    assert sorted(closed.collected.uploads) == [1, 2]


def test_a_family_that_cannot_be_is_found_before_anybody_has_joined(tmp_path):
    config = small_run(tmp_path, tmp_path, method="local", **{"classifier.family": "no-such-family"})
    with pytest.raises(ValueError, match="conf/classifiers: 'no-such-family'"):
        LocalClassifier.check(config)
    Local.check(config)
