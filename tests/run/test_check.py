import pytest

from huscf_flwr.data import DataError
from huscf_flwr.run.check import check_run
from huscf_flwr.run.checkpoint import CheckpointError
from huscf_flwr.run.local import train_locally
from tests.run.builders import SilentDisplay, small_run


def test_a_run_that_can_be_started_passes_and_leaves_nothing_behind(images, tmp_path):
    check_run(small_run(images, tmp_path), hosts=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "hosts", "message"),
    [
        ({}, 5, "clients: 4 clients for 5 SuperNodes"),
        ({"method.clusters": 5}, 1, "method.clusters: 5 clusters for 4 clients"),
        ({"cuts.solver": "fixed"}, 1, "cuts.solver: fixed needs cuts.fixed"),
        ({"cuts.solver": "fixed", "cuts.fixed": "1,1,1,3"}, 1, "discriminator_tail keeps 3 blocks"),
        ({"model.spec": "authors-29"}, 1, "did you mean 'authors-28'"),
        ({"data.scenario": "two-domain-iid"}, 1, "did you mean 'two-domains-iid'"),
        ({"cuts.devices": "papers"}, 1, "did you mean 'paper'"),
        ({"data.domains": "digits,letter"}, 1, "unknown domain 'letter'.*did you mean 'letters'"),
        ({"data.domains": "digits,kana"}, 1, "unknown domain 'kana'"),
        ({"clients": 200}, 1, "client"),
        (
            {"executor.bind": "0.0.0.0:9000", "executor.advertise": "a:1"},
            1,
            r"executor\.bind: 0\.0\.0\.0:9000",
        ),
        ({"executor.certificate": "a.pem"}, 1, r"executor\.certificate is .*a\.pem, but executor\.key"),
        ({"resume_round": 3}, 1, "resume_round: 3, but resume names no run"),
    ],
)
def test_what_is_wrong_is_named(images, tmp_path, settings, hosts, message):
    with pytest.raises(ValueError, match=message):
        check_run(small_run(images, tmp_path, **settings), hosts=hosts)


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data\.root: no such folder"):
        check_run(small_run(tmp_path / "nowhere", tmp_path))


def test_a_checkpoint_that_cannot_be_resumed_is_found_out_before_anything_starts(images, tmp_path):
    half = small_run(images, tmp_path, name="half", rounds=1, **{"evaluation.every": 0})
    train_locally(half, display=SilentDisplay())
    check_run(small_run(images, tmp_path, resume=half.folder))
    for settings, message in (
        ({"model.width": 0.06}, "is of another network"),
        ({"seed": 1}, "is of a run with other settings: seed"),
        ({"resume_round": 2}, "no checkpoint of round 2, only of 1"),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_run(small_run(images, tmp_path, resume=half.folder, **settings))


def test_the_population_of_the_check_is_the_one_that_is_trained_on(images, tmp_path, monkeypatch):
    config = small_run(images, tmp_path, rounds=1, **{"evaluation.every": 0})
    population = check_run(config)
    monkeypatch.setattr("huscf_flwr.run.local.population_of", None)
    train_locally(config, display=SilentDisplay(), population=population)
