import pytest

from huscf_flwr.data import DataError
from huscf_flwr.methods.contract import Crossing
from huscf_flwr.methods.fedgan import FedGAN
from huscf_flwr.methods.huscf import HuSCF, HuSCFSettings
from huscf_flwr.run.check import check_run, check_scores
from huscf_flwr.run.checkpoint import CheckpointError
from huscf_flwr.run.local import train_locally
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, method_class, small_run
from tests.run.checkpoints import once_saved, small_training
from tests.run.counting import count_calls


def test_a_run_that_can_be_started_passes_and_leaves_nothing_behind(images, tmp_path):
    check_run(small_run(images, tmp_path), hosts=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "hosts", "message"),
    [
        ({}, 5, "clients: 4 clients for 5 SuperNodes"),
        ({"huscf.clusters": 5}, 1, "huscf.clusters: 5 clusters for 4 clients"),
        ({"cuts.solver": "fixed"}, 1, "cuts.solver: fixed needs cuts.fixed"),
        ({"cuts.newest_weight": 0.25}, 1, "cuts.newest_weight is 0.25, but cuts.dynamic is false"),
        ({"cuts.least_gain": 0.25}, 1, "cuts.least_gain is 0.25, but cuts.dynamic is false"),
        ({"cuts.fixed": "1,1,1,1"}, 1, "cuts.fixed is 1,1,1,1, but cuts.solver is greedy, which chooses"),
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
        ({"method": "fedgan", "cuts.emulate": True}, 1, r"cuts\.emulate is true, but clients of fedgan"),
        ({"method": "fedgan", "wire.preset": "small"}, 1, r"wire\.preset is small, but clients of fedgan"),
        ({"method": "uagan", "wire.uploads": "8-bits"}, 1, r"wire\.uploads is 8-bits, but clients of uagan"),
        ({**METHODS["fedproto"], "wire.uploads": "bfloat16"}, 1, "upload nothing that the server has sent"),
    ],
)
def test_what_is_wrong_is_named(images, tmp_path, settings, hosts, message):
    with pytest.raises(ValueError, match=message):
        check_run(small_run(images, tmp_path, **settings), hosts=hosts)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "fedgan", "wire.uploads": "8-bits"},
        {"method": "uagan", "wire.preset": "small"},
        {"method": "fedgan", "wire.preset": "auto"},
    ],
)
def test_numbers_are_packed_where_some_cross(images, tmp_path, settings):
    check_run(small_run(images, tmp_path, **settings))


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data\.root: no such folder"):
        check_run(small_run(tmp_path / "nowhere", tmp_path))


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_resumed_is_found_out_before_anything_starts(images, tmp_path):
    half = small_run(images, tmp_path, name="half", rounds=1, **{"evaluation.every": 0})
    train_locally(half, display=SilentDisplay())
    check_run(small_run(images, tmp_path, resume=half.folder))
    for settings, message in (
        ({"model.width": 0.06}, "belongs to another network"),
        (
            {"seed": 1},
            r"belongs to a run with other settings: seed \(was 0, is 1\)\. Leave them",
        ),
        ({"resume_round": 2}, "no checkpoint of round 2, only of 1"),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_run(small_run(images, tmp_path, resume=half.folder, **settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "belongs to a run with other images of"),
        ({"data.scenario": "two-domains-non-iid"}, "belongs to a run with another scenario"),
        ({"seed": 1}, "belongs to a run with other settings: seed"),
    ],
)
def test_that_a_checkpoint_is_another_runs_is_told_before_its_rounds(images, tmp_path, settings, message):
    """Settings mend the rounds, and only then would somebody learn of what nothing mends."""
    training = small_training(tmp_path)
    training.rounds.images = "those of before"
    training.train()
    once_saved(training, tmp_path)
    said = {"clients": 3, "model.width": 0.03, "rounds": 1, "resume": tmp_path, **settings}
    with pytest.raises(CheckpointError, match=message) as told:
        check_run(small_run(images, tmp_path / "new", **said))
    assert "set rounds" not in str(told.value)


def test_it_returns_all_that_was_loaded(images, tmp_path):
    checked = check_run(small_run(images, tmp_path))
    assert checked.method is HuSCF
    assert checked.config.settings(HuSCFSettings) is checked.config.sections["huscf"]
    assert [len(checked.population.images_of(client)) for client in range(4)] == [30] * 4
    assert checked.checkpoint is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["huscf", "fedgan"])
def test_what_a_run_needs_is_read_once(images, tmp_path, monkeypatch, method):
    """The run's file, the mode's, the checkpoint and each domain's images: by check and training together."""
    half = small_run(images, tmp_path, name="half", method=method, rounds=1, **UNJUDGED)
    train_locally(half, display=SilentDisplay())
    calls = count_calls(
        monkeypatch,
        {
            "huscf_flwr.config.reading.read_yaml": "run",
            "huscf_flwr.config.modes.read_yaml": "mode",
            "huscf_flwr.run.checkpoint._read_state": "state of the checkpoint",
            "huscf_flwr.run.checkpoint.read_exactly": "tensors of the checkpoint",
            "huscf_flwr.data.population.load_population": "population",
            "huscf_flwr.data.domains.load_domain": "domain",
            "huscf_flwr.data.population.partition": "partition",
        },
    )

    config = small_run(images, tmp_path, method=method, resume=half.folder, **UNJUDGED)
    train_locally(check_run(config), display=SilentDisplay())
    assert calls == {
        "run": 1,
        "mode": 1,
        "state of the checkpoint": 1,
        "tensors of the checkpoint": 1,
        "population": 1,
        "domain": 2,
        "partition": 1,
    }


@pytest.mark.parametrize(
    ("scores", "refusal"),
    [
        (("fidelity",), r"Listing.crossing.scores has 'fidelity' \(did you mean 'label_fidelity'\?\)"),
        (("accuracies",), r"has 'accuracies' \(did you mean 'accuracy'\?\): there are fid, .* loss"),
        (("f1",), "lists scores, but FedGANClient defines neither classifiers nor sampler"),
    ],
)
def test_scores_that_nobody_can_give_are_refused(scores, refusal):
    listing = type("Listing", (FedGAN,), {"crossing": Crossing(scores=scores)})
    with pytest.raises(ValueError, match=refusal):
        check_scores(listing)


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_somebody_gives_are_not(method):
    check_scores(method_class(method))
