"""`huscf privacy`: of a run, of a configuration, and what it refuses."""

import json

import pytest

from huscf_flwr.config import dump_config
from tests.commands.invoking import invoke, refused, succeeded
from tests.privacy.audited import audited_run
from tests.run.builders import METHODS, UNJUDGED, small_run, write_domains


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
    found = json.loads((run / "privacy" / "privacy.json").read_text())
    assert found["round"] == 2
    assert found["guarantee"] is None
    assert found["cuts"][0]["steps"][0]["psnr"] > 60
    assert (run / "privacy" / "cut-1-1-1-1.png").is_file()
    report = (run / "report.html").read_text()
    assert "What the server sees" in report
    assert "The server sees the images of clients with cut 1-1-1-1" in report
    # The run itself is as it was.
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == before


@pytest.mark.slow
def test_a_ceiling_that_is_exceeded_is_an_exit_status(written):
    _, run = written
    result = invoke("privacy", run, "--attacks", "A1", "--clients", 1, "--ceiling", "psnr=20")
    assert result.exit_code == 1
    assert "step 1: psnr is" in result.output


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
@pytest.mark.parametrize(
    "option", [("--cuts", "1-1-1-1"), ("--defences", "half"), ("--set", "rounds=3"), ("--rounds", 2)]
)
def test_a_run_takes_no_settings(written, option):
    _, run = written
    assert f"{option[0]} needs a configuration" in refused(invoke("privacy", run, *option))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mdgan", "fedvtc"])
def test_a_run_of_another_method_is_attacked_with_what_applies(tmp_path, method):
    """One more round, whatever the method counts as one."""
    config = small_run(write_domains(tmp_path / "images"), tmp_path, **{**METHODS[method], **UNJUDGED})
    (tmp_path / "other.yaml").write_text(dump_config(config))
    succeeded(invoke("run", tmp_path / "other.yaml", "--engine", "local"))
    last = len((config.folder / "metrics.jsonl").read_text().splitlines())
    assert "What else is learnt" in succeeded(invoke("privacy", config.folder, "--clients", 1))
    found = json.loads((config.folder / "privacy" / "privacy.json").read_text())
    assert found["round"] == last + 1
    assert found["cuts"] == []
    assert {each["attack"] for each in found["findings"]} == {"A1", "A2", "A3", "A4", "A7"}
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
        (("--attacks", "A6", "--shadows", 3), "--shadows: 3; take an even number"),
        (("--set", "mode=parity", "--rounds", 1), "take --rounds 2"),
        (("--cuts", "1-1-1-1,9-1-1-1"), "cut (9, 1, 1, 1)"),
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
