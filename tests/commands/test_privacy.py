"""`huscf privacy`: of a run, of a configuration, and what it refuses."""

import json
import signal
import tempfile
from dataclasses import asdict
from importlib.metadata import version

import pytest

from huscf_flwr.config import RunConfig, dump_config
from huscf_flwr.methods import resolved
from huscf_flwr.privacy import audited_runs
from huscf_flwr.privacy.ceilings import NAMES
from huscf_flwr.run.check import check_run
from huscf_flwr.run.origin import images_hash, origin_of
from tests.commands.invoking import invoke, refused, succeeded
from tests.privacy.audited import audited_run
from tests.run.builders import METHODS, UNJUDGED, small_run

SEEDED = ("--attacks", "A6", "--set", "privacy.noise=seeded")
PRIVATE = (
    *("--set", "privacy.local_discriminator=true", "--set", "fake_labels=uniform"),
    *("--set", "huscf.clusters=1", "--set", "huscf.weighting=samples"),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A configuration in a file, and the run of it."""
    folder = tmp_path_factory.mktemp("privacy")
    path = folder / "small.yaml"
    config = audited_run(folder, rounds=1)
    path.write_text(dump_config(config))
    succeeded(invoke("run", path, "--engine", "local"))
    return path, config.folder


@pytest.mark.slow
def test_a_run_is_attacked_and_its_report_shows_it(written):
    _, run = written
    before = sorted(path.name for path in (run / "checkpoint").iterdir())
    shown = succeeded(invoke("privacy", run, "--attacks", "A1", "--clients", 1))
    assert "the server sees the images of clients with cut 1-1-1-1" in shown
    assert "attacking client 0, 1 of 1" in shown
    # One more round is no run: it has no end, and nobody has judged it.
    assert "training round 2 to look at it; the run itself stays at round 1" in shown
    assert "round 2/2" in shown
    assert "2 rounds in" not in shown
    assert "domain" not in shown
    found = json.loads((run / "privacy" / "privacy.json").read_text())
    assert found["round"] == 2
    assert found["guarantee"] is None
    assert found["command"] == f"huscf privacy {run} --attacks A1 --clients 1"
    assert found["version"] == version("huscf-flwr")
    assert found["config"]["cuts"]["fixed"] == [1, 1, 1, 1]
    assert found["seconds_a_step"] > 0
    assert found["cuts"][0]["steps"][0]["psnr"] > 60
    assert (run / "privacy" / "cut-1-1-1-1.png").is_file()
    report = (run / "report.html").read_text()
    assert "What the server sees" in report
    assert "The server sees the images of clients with cut 1-1-1-1" in report
    # The run itself is as it was.
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == before


@pytest.mark.slow
def test_what_was_found_says_what_it_is_of(written):
    """By the hashes of a run's checkpoint, which does not go on with other images either."""
    path, _ = written
    shown = invoke("privacy", path, "--rounds", 1, "--attacks", "A3", "--clients", 1, "--format", "json")
    (found,) = json.loads(succeeded(shown).splitlines()[-1])
    config = resolved(RunConfig.model_validate(found["config"]))
    images = images_hash(check_run(config).population)
    assert found["origin"] == asdict(origin_of(config, images))
    assert found["command"] == f"huscf privacy {path} --rounds 1 --attacks A3 --clients 1 --format json"


@pytest.mark.slow
def test_a_run_with_an_epsilon_is_told_in_its_folder_and_attacked_by_what_noise_does_not_bound(
    images, tmp_path
):
    """The mix of labels, with any noise; membership in a simulation: seeded noise hides as much from A6."""
    for noise in ("secret", "seeded"):
        settings = {**METHODS["huscf-embedding"], "privacy.noise": noise, **UNJUDGED}
        config = small_run(images, tmp_path, rounds=1, name=noise, **settings)
        (tmp_path / f"{noise}.yaml").write_text(dump_config(config))
        succeeded(invoke("run", tmp_path / f"{noise}.yaml", "--engine", "local"))
        succeeded(invoke("privacy", config.folder, "--attacks", "A1,A3,A6", "--clients", 1))
        found = json.loads((config.folder / "privacy" / "privacy.json").read_text())
        assert found["guarantee"].startswith("epsilon 5 at delta 1e-05")
        assert found["epsilon"] == (pytest.approx(5, abs=0.01) if noise == "secret" else None)
        reasons = [(each["attack"], each["reason"]) for each in found["findings"]]
        assert reasons[0] == ("A1", "no activation of a real image crosses")
        (mix,) = (each for each in found["findings"] if each["attack"] == "A3")
        assert mix["measure"] == "total variation to the true mix"
        assert mix["value"] is not None
        asked = [each for each in found["findings"] if each["attack"] == "A6"]
        if noise == "secret":
            assert [each["value"] for each in asked] == [None]
            assert "secret noise bounds what is told of one image" in asked[0]["reason"]
        else:
            # Of a client with each cut: its discriminator, and its generator.
            assert [each["measure"] for each in asked] == ["", "AUC"] * 2
            assert "discriminators stay as they began" in asked[0]["reason"]
        report = (config.folder / "report.html").read_text()
        assert f"Up to round {found['round']}: epsilon 5 at delta 1e-05" in report
        assert "Nothing here has a formal guarantee" not in report
        again = succeeded(invoke("privacy", config.folder, "--attacks", "A3", "--clients", 1))
        kept = config.folder / "privacy" / "earlier-1"
        assert f"what an earlier audit has found is now in {kept}" in again
        assert json.loads((kept / "privacy.json").read_text()) == found


@pytest.mark.slow
def test_a_ceiling_that_is_exceeded_is_an_exit_status(written):
    _, run = written
    result = invoke("privacy", run, "--attacks", "A1", "--clients", 1, "--ceiling", "psnr=20")
    assert result.exit_code == 1
    assert "step 1: psnr is" in result.output
    assert "as trained: psnr of at most 20 does not hold" in result.output
    (outcome,) = json.loads((run / "privacy" / "privacy.json").read_text())["ceilings"]
    assert (outcome["name"], outcome["most"], outcome["holds"]) == ("psnr", 20, False)
    assert "Ceiling: psnr of at most 20 does not hold. as trained" in (run / "report.html").read_text()


@pytest.mark.slow
def test_a_configuration_is_trained_with_each_cut_and_defence(written):
    path, _ = written
    shown = succeeded(
        invoke(
            *("privacy", path, "--rounds", 1, "--attacks", "A1", "--clients", 1, "--format", "json"),
            *("--cuts", "1-1-1-1", "--defences", "none,half,local-discriminator"),
            *("--set", "privacy.local_discriminator=true", "--set", "fake_labels=uniform"),
            *("--set", "privacy.min_observed=1", "--set", "cuts.fixed=1,1,5,0"),
        )
    )
    plain, narrow, local = json.loads(shown.splitlines()[-1])
    assert [each["defence"] for each in (plain, narrow, local)] == ["none", "half", "local-discriminator"]
    assert plain["cuts"][0]["steps"][0]["psnr"] > narrow["cuts"][0]["steps"][0]["psnr"] > 40
    assert plain["megabytes_a_step"] == pytest.approx(2 * narrow["megabytes_a_step"])
    assert plain["run"].endswith("small-privacy/none-cut-1-1-1-1")
    (found,) = local["cuts"]
    assert (found["name"], found["steps"], found["sees_images"]) == ("1-1-5-0", [], False)
    assert found["labels"] < 0.5 < plain["cuts"][0]["steps"][0]["labels"]
    assert local["megabytes_a_step"] < plain["megabytes_a_step"]


@pytest.mark.slow
def test_without_a_defence_by_name_it_is_the_configuration_as_it_is_that_is_audited(written):
    path, _ = written
    own = (
        "privacy.local_discriminator=true",
        "fake_labels=uniform",
        "privacy.min_observed=1",
        "cuts.fixed=1,1,5,0",
    )
    sets = [word for each in (*own, "wire.preset=small") for word in ("--set", each)]
    command = ("privacy", path, "--rounds", 1, "--attacks", "A1", "--clients", 1, *sets)
    (found,) = json.loads(succeeded(invoke(*command, "--format", "json")).splitlines()[-1])
    assert (found["defence"], found["replaced"]) == ("as configured", [])
    assert (found["config"]["fake_labels"], found["config"]["wire"]["preset"]) == ("uniform", "small")
    assert not found["cuts"][0]["sees_images"]
    told = succeeded(invoke(*command, "--defences", "local-discriminator"))
    assert "local-discriminator: not as configured, in the place of wire.preset: small." in told


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [("--cuts", "1-1-1-1"), ("--defences", "half"), ("--set", "rounds=3"), ("--rounds", 2)]
)
def test_a_run_takes_no_settings(written, option):
    _, run = written
    assert f"{option[0]} needs a configuration" in refused(invoke("privacy", run, *option))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mdgan", "fedvtc"])
def test_a_run_of_another_method_is_attacked_with_what_applies(images, tmp_path, method):
    """One more round, whatever the method counts as one."""
    config = small_run(images, tmp_path, **{**METHODS[method], **UNJUDGED})
    (tmp_path / "other.yaml").write_text(dump_config(config))
    succeeded(invoke("run", tmp_path / "other.yaml", "--engine", "local"))
    last = len((config.folder / "metrics.jsonl").read_text().splitlines())
    assert "What else is learnt" in succeeded(invoke("privacy", config.folder, "--clients", 1))
    found = json.loads((config.folder / "privacy" / "privacy.json").read_text())
    assert found["round"] == last + 1
    assert found["cuts"] == []
    assert {each["attack"] for each in found["findings"]} == {"A1", "A2", "A3", "A4", "A7", "A8"}
    report = (config.folder / "report.html").read_text()
    assert "What is learnt of clients" in report
    assert "no activation of a real image crosses" in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--attacks", "A9"), "--attacks: 'A9'"),
        (("--defences", "fake-label"), "did you mean 'fake-labels'"),
        (("--cuts", "1-1-1"), "--cuts: '1-1-1'"),
        (("--ceiling", "psnr=much"), "'much' is no number"),
        (("--set", "method=fedproto"), "there are attacks on huscf, fedgan, mdgan, fedvtc."),
        (("--set", "method=fedgan", "--cuts", "1-1-1-1"), "--cuts: fedgan cuts no network"),
        (("--set", "privacy.epsilon=1", *PRIVATE), "or take --attacks A6 with privacy.noise=seeded"),
        (
            (*SEEDED, "--set", "privacy.epsilon=1", *PRIVATE, "--defences", "half"),
            "--defences: half; privacy.epsilon is the defence",
        ),
        (
            (*SEEDED, "--set", "privacy.epsilon=1", *PRIVATE, "--defences", "none"),
            "--defences: none; privacy.epsilon is the defence",
        ),
        (("--attacks", "A6", "--shadows", 3), "--shadows: 3; take an even number"),
        (("--set", "mode=parity", "--rounds", 1), "take --rounds 2"),
        (
            ("--cuts", "1-1-1-1,1-1-9-1"),
            "error: --cuts: 1-1-9-1: discriminator_head keeps 9 blocks, but authors-28 allows",
        ),
        (("--ceiling", "psnr=20", "--ceiling", "psnr=200"), "psnr has one already, 20"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    assert message in refused(invoke("privacy", "demo", *options))


def test_a_folder_without_a_run_is_named(tmp_path):
    assert "has no config.yaml" in refused(invoke("privacy", tmp_path))


def test_the_folder_of_a_run_may_begin_at_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    assert f"{tmp_path / 'run'} has no config.yaml" in refused(invoke("privacy", "~/run"))


@pytest.mark.parametrize("target", ["runs/nothere", "~/nothere"])
def test_a_path_at_which_there_is_nothing_is_told_as_such(target):
    shown = refused(invoke("privacy", target))
    assert "nothere: no such folder or file; give the folder of a run" in shown
    assert "Known:" not in shown


def test_a_ceiling_that_no_chosen_attack_is_about_is_refused_before_training(written):
    path, run = written
    for target in (path, run):
        asked = ("--attacks", "A3", "--ceiling", "labels=0.5,psnr=99")
        shown = refused(invoke("privacy", target, *asked))
        assert "--ceiling psnr=99: --attacks A3 cannot say whether it holds; add A1 or A2" in shown


def test_help_has_every_ceiling():
    shown = succeeded(invoke("privacy", "--help"))
    assert all(name in shown for name in NAMES)


@pytest.mark.slow
def test_labels_alone_are_told_by_what_reads_them(written):
    """Of a batch, the set and how often, though no attack was made on images."""
    path, _ = written
    ceilings = ("--ceiling", "labels=0.5")
    result = invoke("privacy", path, "--rounds", 1, "--attacks", "A3", "--clients", 1, *ceilings)
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert "labels is 1, above 0.5" in told
    assert "the server gets 100% of the labels of a batch" in told
    assert "no attack was made on their images" in told
    assert "how often a client has each label" in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_an_audit_that_is_stopped_leaves_nothing_behind_and_says_so(written, tmp_path, monkeypatch, number):
    """As Flower's runs and local ones end, by what sent the signal."""
    _, run = written
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def attacked(*_):
        assert [path.name.startswith("huscf-privacy-") for path in tmp_path.iterdir()] == [True]
        signal.raise_signal(number)

    monkeypatch.setattr(audited_runs, "audit_client", attacked)
    result = invoke("privacy", run, "--attacks", "A1", "--clients", 1)
    assert (result.exit_code, list(tmp_path.iterdir())) == (128 + number, [])
    assert f"stopped by {number.name} at once" in result.output
