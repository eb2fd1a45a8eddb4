import pytest

from huscf_flwr.run.run import RoundFailedError, Run
from huscf_flwr.run.run_folder import RunFolder
from huscf_flwr.run.run_log import RunLog
from huscf_flwr.session import SessionError
from tests.run.builders import SilentDisplay, coordinator_of, small_run


@pytest.fixture
def run(tmp_path):
    config = small_run(tmp_path, tmp_path, clients=3, rounds=5, **{"model.width": 0.03})
    return Run(config, coordinator_of(config), RunFolder(config), SilentDisplay(), None, RunLog("small"))


def test_rounds_are_counted_down(run):
    assert run.rounds_left == 5
    run.open_round([[0, 1, 2]])
    assert run.rounds_left == 4


def test_what_ended_the_session_first_is_why_the_round_failed(run):
    session = run.open_round([[0], [1, 2]])
    session.abort(SessionError("step 3, client 2: the generator's loss is nan"))
    with pytest.raises(RoundFailedError, match=r"^round 1: step 3, client 2: the generator's loss is nan$"):
        run.fail(session, SessionError("step 3, GENERATE: ..."))


def test_without_a_failed_session_the_given_reason_is(run):
    run.open_round([[0, 1, 2]])
    session = run.open_round([[0, 1, 2]])
    with pytest.raises(RoundFailedError, match=r"^round 2: no reply from SuperNodes \[4\]$"):
        run.fail(session, "no reply from SuperNodes [4]")


def test_clients_scores_are_averaged_by_cluster_and_test_samples(run):
    """Cluster 0: (10 x 0.5 + 30 x 0.9) / 40 = 0.8; what only one client knows is that client's."""
    run.coordinator.clusters = {0: 0, 1: 0, 2: 1}
    scores = run.record_client_scores(
        {
            0: (10, {"label_fidelity": 0.5}),
            1: (30, {"label_fidelity": 0.9, "tstr_accuracy": 0.25}),
            2: (5, {"label_fidelity": 1.0}),
        }
    )
    assert scores == {
        0: {"label_fidelity": pytest.approx(0.8), "tstr_accuracy": 0.25},
        1: {"label_fidelity": 1.0},
    }
