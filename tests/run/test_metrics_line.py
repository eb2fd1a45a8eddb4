import pytest

from huscf_flwr.methods.contract import keeps_models
from huscf_flwr.run.metrics_line import WARM_UP_STEPS, evaluation_of, line_of, summary_of
from tests.quick import OF_EACH_KIND, mostly_slow
from tests.run.builders import METHODS, SAMPLES, small_run, training_of


@pytest.fixture
def make(tmp_path):
    def training(**settings):
        return training_of(small_run(tmp_path, tmp_path, clients=3, **{"model.width": 0.03, **settings}))

    return training


GAN = {"discriminator", "generator"}


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([1.0, 3.0, 7.0], {"after_warm_up": {"median": 3.0, "least": 1.0, "most": 7.0}}),
        ([], {}),
    ],
)
def test_what_the_first_steps_took_can_be_left_out(make, later, expected):
    training = make()
    closed = training.train()
    seconds = [9.0] * WARM_UP_STEPS + later
    closed.opened.session._clock.step_seconds[:] = seconds
    line = line_of(training.method, closed)
    found = {"median": line["step_seconds"]["median"], "least": min(seconds), "most": 9.0, **expected}
    assert line["step_seconds"] == found


COMMON = {
    *("round", "seconds", "steps", "hosts", "step_seconds", "server_step_seconds"),
    *("losses", "bytes", "facts", "clients", "drop_outs"),
}
OF_A_CLIENT = {"id", "samples", "losses", "round_seconds", "bytes"}


@pytest.mark.parametrize(
    ("method", "facts", "losses", "of_a_client"),
    [
        (
            "huscf",
            {"silhouette", "bodies"},
            GAN,
            {"step_seconds", "cluster", "cut", "weight", "global_weight", "divergence"},
        ),
        ("fedgan", set(), GAN, {"weight"}),
        ("pflgan", {"weights"}, GAN, {"local"}),
        ("hflgan", {"silhouette", "cloud"}, GAN | {"global_generator"}, {"cluster", "weight"}),
        ("fedproto", set(), {"classifier", "prototype"}, set()),
        ("fedtgp", {"margin"}, {"classifier", "prototype"}, set()),
        ("fedgen", {"teacher_loss", "diversity_loss"}, {"classifier", "generated"}, set()),
        ("gefl", set(), {"reconstruction", "divergence"}, {"weight"}),
        ("gefl-dcgan", set(), GAN, {"weight"}),
        ("ccvr", set(), {"classifier"}, set()),
        ("fedtype", set(), {"classifier", "ranking", "proxy", "distillation"}, {"weight"}),
        ("local", set(), GAN, set()),
        ("local-classifier", set(), {"classifier"}, set()),
        ("central", set(), GAN, set()),
        ("mdgan", set(), GAN, {"step_seconds", "discriminator_of"}),
        ("uagan", {"generator_loss"}, {"discriminator"}, {"step_seconds"}),
        ("fsgan", set(), GAN, {"step_seconds", "weight"}),
    ],
)
def test_a_line_has_what_is_common_and_the_facts_of_the_method(make, method, facts, losses, of_a_client):
    training = make(**METHODS[method])
    line = line_of(training.method, training.train())
    assert set(line) == COMMON
    assert set(line["facts"]) == facts
    assert [client["id"] for client in line["clients"]] == [0, 1, 2]
    assert {client["id"]: client["samples"] for client in line["clients"]} == SAMPLES
    for client in line["clients"]:
        assert set(client) == OF_A_CLIENT | of_a_client
    for way in ("up", "down"):
        by_client = [client["bytes"][way] for client in line["clients"]]
        assert sum(by_client) == sum(line["bytes"][way].values())
    assert line["losses"].keys() == losses
    for name in losses:
        mean = sum(client["losses"][name] for client in line["clients"]) / 3
        assert line["losses"][name] == pytest.approx(mean)
    for seconds in ("step_seconds", "server_step_seconds"):
        assert (line[seconds] is None) == (training.method.crossing.exchanges == ())


def test_a_client_that_dropped_out_is_named_and_has_no_entry(make):
    training = make(method="fedgan")
    opened, hosted = training.begin()
    opened.session.drop(1, "silent")
    uploads = {client: upload for client, upload in hosted.uploads.items() if client != 1}
    line = line_of(training.method, training.rounds.close(uploads))
    assert line["drop_outs"] == [{"id": 1, "step": None, "exchange": None, "reason": "silent"}]
    assert [client["id"] for client in line["clients"]] == [0, 2]


@pytest.mark.parametrize("method", mostly_slow(METHODS, *OF_EACH_KIND, "hflgan"))
def test_a_summary_adds_up_the_rounds_and_has_clusters_where_there_are_some(make, method):
    training = make(**METHODS[method])
    lines = [line_of(training.method, training.train()) for _ in range(2)]
    given = {"seconds": 1.26, "scores": {"ari": 0.5}, "domains": None, "client_scores": {}, "own_models": {}}
    summary = summary_of(training.rounds, lines, **given)
    name = METHODS[method]["method"]
    assert (summary["method"], summary["rounds"], summary["seconds"]) == (name, 2, 1.3)
    assert "own_models" not in summary
    for way in ("up", "down"):
        assert summary["bytes"][way] == sum(sum(line["bytes"][way].values()) for line in lines)
    clients = [client for product in summary["products"].values() for client in product["clients"]]
    assert sorted(clients) == ([0, 1, 2] if training.method.products() else [])
    assert clients or keeps_models(training.method.client)
    if name in ("huscf", "hflgan"):
        assert summary["clusters"]["count"] == len(summary["products"])
        assert summary["clusters"]["ari"] == 0.5
    else:
        assert summary["clusters"] is None


SCORES = {
    2: {"test": {"accuracy": 0.5, "loss": 3.0}},
    0: {"test": {"accuracy": 0.25, "loss": 1.0}, "held_out": {"accuracy": 1.0}},
}


def test_an_evaluation_has_every_client_and_how_they_differ(make):
    """Worst is the largest loss and the smallest accuracy; each client counts once."""
    training = make(**METHODS["fedproto"], rounds=2)
    training.train(clients=[1, 2])
    assert evaluation_of(training.rounds, SCORES, {1: "diverged"}) == {
        "round": 1,
        "thorough": False,
        "trained": 1,
        "scores": {
            "test": {
                "accuracy": {"mean": 0.375, "worst": 0.25, "spread": 0.125},
                "loss": {"mean": 2.0, "worst": 3.0, "spread": 1.0},
            },
            "held_out": {"accuracy": {"mean": 1.0, "worst": 1.0, "spread": 0.0}},
        },
        "clients": [
            {
                "id": 0,
                "test": {"accuracy": 0.25, "loss": 1.0},
                "held_out": {"accuracy": 1.0},
            },
            {"id": 2, "test": {"accuracy": 0.5, "loss": 3.0}},
        ],
        "drop_outs": [{"id": 1, "reason": "diverged"}],
    }
    training.train()
    last = evaluation_of(training.rounds, SCORES, {})
    assert (last["round"], last["thorough"], last["trained"], last["drop_outs"]) == (2, True, 2, [])


def test_a_summary_has_the_last_scores_of_models_that_stay_on_clients(make):
    training = make(**METHODS["fedproto"])
    given = {"seconds": 1.0, "scores": None, "domains": None, "client_scores": {}}
    own = evaluation_of(training.rounds, SCORES, {})["scores"]
    assert summary_of(training.rounds, [], own_models=own, **given)["own_models"] == own
