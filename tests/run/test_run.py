import pytest
import torch

from huscf_flwr.evaluation.domain_scores import Judged
from huscf_flwr.methods.contract import Upload
from huscf_flwr.run.run import RoundFailedError, Run
from huscf_flwr.run.run_log import RunLog
from huscf_flwr.session import SessionError, TooFewClientsError
from tests.run.builders import SilentDisplay, method_of, small_run


@pytest.fixture
def run(tmp_path):
    config = small_run(tmp_path, tmp_path, clients=3, rounds=5, attempts=2, **{"model.width": 0.03})
    method = method_of(config)
    run = Run(method.config, method, display=SilentDisplay(), log=RunLog("small"))
    run.begin([0, 1, 2])
    return run


def test_rounds_are_counted_down(run):
    assert run.rounds_left == 5
    run.open_round([[0, 1, 2]])
    assert run.rounds_left == 4


def test_what_ended_the_session_first_is_why_the_round_failed(run):
    opened = run.open_round([[0], [1, 2]])
    opened.session.abort(SessionError("step 3, client 2: the generator's loss is nan"))
    with pytest.raises(RoundFailedError, match=r"^round 1: step 3, client 2: the generator's loss is nan$"):
        run.fail(opened, SessionError("step 3, GENERATE: ..."))


def test_without_a_failed_session_the_given_reason_is(run):
    run.open_round([[0, 1, 2]])
    opened = run.open_round([[0, 1, 2]])
    with pytest.raises(RoundFailedError, match=r"^round 2: no reply from SuperNodes \[4\]$"):
        run.fail(opened, "no reply from SuperNodes [4]")


def test_a_round_that_is_given_up_is_tried_as_often_as_the_configuration_says(run):
    for attempt in (1, 2):
        opened = run.open_round([[0, 1, 2]])
        assert (opened.number, opened.attempt) == (1, attempt)
        opened.session.leave(0, "gone")
        assert isinstance(opened.session.failure, TooFewClientsError)
        if attempt == 1:
            run.give_up_round(opened, "no reply")
            assert run.rounds_left == 5
    with pytest.raises(RoundFailedError, match=r"round 1: 0 clients are left, .* client 2: gone"):
        run.give_up_round(opened, "no reply")


def test_a_round_that_would_fail_again_is_not_tried_again(run):
    opened = run.open_round([[0, 1, 2]])
    opened.session.abort(ValueError("a bug"))
    with pytest.raises(RoundFailedError, match="round 1: a bug"):
        run.give_up_round(opened, "no reply")


def test_a_drop_out_is_shown_with_its_step_and_exchange(run, tmp_path):
    opened = run.open_round([[0], [1, 2]])
    opened.session.drop(1, "its plug was pulled")
    (display,) = (observer._display for observer in run._observers if hasattr(observer, "_display"))
    assert display.notes[-1] == "client 1 dropped out of round 1 in step 1, GENERATE: its plug was pulled"


def test_clients_scores_are_averaged_by_product_and_test_samples(run):
    """Cluster 0: (10 x 0.5 + 30 x 0.9) / 40 = 0.8; what only one client knows is that client's."""
    models = run.method.models
    models.load({0: 0, 1: 0, 2: 1}, dict.fromkeys((0, 1), models.common))
    scores = run.record_client_scores(
        {
            0: Judged(10, {"label_fidelity": 0.5}),
            1: Judged(30, {"label_fidelity": 0.9, "tstr_accuracy": 0.25}),
            2: Judged(5, {"label_fidelity": 1.0}),
        }
    )
    assert scores == {
        "cluster-0": {"label_fidelity": pytest.approx(0.8), "tstr_accuracy": 0.25},
        "cluster-1": {"label_fidelity": 1.0},
    }
    assert run.finish()["products"] == {
        "cluster-0": {"clients": [0, 1], "client_scores": scores["cluster-0"]},
        "cluster-1": {"clients": [2], "client_scores": {"label_fidelity": 1.0}},
    }


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (lambda: {}["head"], r"KeyError: 'head' \(.*test_run\.py:\d+, in <lambda>\)"),
        (lambda: torch.ones(2) @ torch.ones(3), r"RuntimeError: .* \(.*test_run\.py:\d+, in <lambda>\)"),
    ],
)
def test_a_mistake_in_a_method_is_told_with_where_it_is(run, mistake, told):
    opened = run.open_round([[0, 1, 2]])
    with pytest.raises(Exception) as caught:
        mistake()
    with pytest.raises(RoundFailedError, match=rf"^round 1: {told}$"):
        run.fail(opened, caught.value)


def test_too_few_usable_uploads_end_a_round_or_take_it_back(run):
    """Client 2 sends what is not asked for, and the others nothing."""
    for again in (True, False):
        run.open_round([[0, 1, 2]])
        if again:
            assert run.end_round({2: Upload()}, may_retry=True) is None
            assert run.rounds_left == 5
        else:
            with pytest.raises(RoundFailedError, match=r"^round 1: 0 of its clients .* min_clients = 1"):
                run.end_round({2: Upload()}, may_retry=False)


@pytest.mark.parametrize(
    ("settings", "noted"),
    [
        ({"method": "fedgan", "data.held_out": 0.25}, 1),
        ({"method": "fedgan"}, 0),
        ({"method": "fedproto", "data.held_out": 0.25}, 0),
    ],
)
def test_images_that_are_held_out_for_nothing_are_worth_a_note(images, tmp_path, settings, noted):
    method = method_of(small_run(images, tmp_path, **settings))
    display = SilentDisplay()
    Run(method.config, method, display=display, log=RunLog("small")).begin([0, 1, 2, 3])
    told = [note for note in display.notes if "data.held_out: 0.25, but fedgan has no classifiers" in note]
    assert len(told) == noted
