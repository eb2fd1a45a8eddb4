import pytest

from huscf_flwr.run.metrics_line import WARM_UP_STEPS, line_of, summary_of
from tests.run.builders import SAMPLES, small_run, training_of


@pytest.fixture
def make(tmp_path):
    def training(**settings):
        return training_of(small_run(tmp_path, tmp_path, clients=3, **{"model.width": 0.03, **settings}))

    return training


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
    ("method", "facts", "of_a_client"),
    [
        (
            "huscf",
            {"silhouette", "bodies"},
            {"step_seconds", "cluster", "cut", "weight", "global_weight", "divergence"},
        ),
        ("fedgan", set(), {"weight"}),
    ],
)
def test_a_line_has_what_is_common_and_the_facts_of_the_method(make, method, facts, of_a_client):
    training = make(method=method)
    line = line_of(training.method, training.train())
    assert set(line) == COMMON
    assert set(line["facts"]) == facts
    assert [client["id"] for client in line["clients"]] == [0, 1, 2]
    assert {client["id"]: client["samples"] for client in line["clients"]} == SAMPLES
    for client in line["clients"]:
        assert set(client) == OF_A_CLIENT | of_a_client
    for way in ("up", "down"):
        by_client = [client["bytes"][way] for client in line["clients"]]
        assert sum(by_client) == sum(line["bytes"][way].values()) > 0
    for name in ("discriminator", "generator"):
        mean = sum(client["losses"][name] for client in line["clients"]) / 3
        assert line["losses"][name] == pytest.approx(mean)
    assert (line["step_seconds"] is None) == (line["server_step_seconds"] is None) == (method == "fedgan")


def test_a_client_that_dropped_out_is_named_and_has_no_entry(make):
    training = make(method="fedgan")
    opened, hosted = training.begin()
    opened.session.drop(1, "silent")
    uploads = {client: upload for client, upload in hosted.uploads.items() if client != 1}
    line = line_of(training.method, training.rounds.close(uploads))
    assert line["drop_outs"] == [{"id": 1, "step": None, "exchange": None, "reason": "silent"}]
    assert [client["id"] for client in line["clients"]] == [0, 2]


@pytest.mark.parametrize("method", ["huscf", "fedgan"])
def test_a_summary_adds_up_the_rounds_and_has_clusters_where_there_are_some(make, method):
    training = make(method=method)
    lines = [line_of(training.method, training.train()) for _ in range(2)]
    given = {"seconds": 1.26, "scores": {"ari": 0.5}, "domains": None, "client_scores": {}}
    summary = summary_of(training.rounds, lines, **given)
    assert (summary["method"], summary["rounds"], summary["seconds"]) == (method, 2, 1.3)
    for way in ("up", "down"):
        assert summary["bytes"][way] == sum(sum(line["bytes"][way].values()) for line in lines)
    clients = [client for product in summary["products"].values() for client in product["clients"]]
    assert sorted(clients) == [0, 1, 2]
    if method == "fedgan":
        assert summary["clusters"] is None
    else:
        assert summary["clusters"]["count"] == len(summary["products"])
        assert summary["clusters"]["ari"] == 0.5
