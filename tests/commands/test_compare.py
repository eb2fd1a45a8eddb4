"""`huscf compare`: what it shows of what is there, and what it says of what it cannot do."""

import json

import pytest
import yaml

from huscf_flwr.comparison.kept import KeptRuns
from huscf_flwr.comparison.plan import plan_comparison
from tests.commands.invoking import invoke, refused, succeeded
from tests.comparison.builders import CONTENT, write_run


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A comparison's file, of whose runs those of the first seed in one scenario are kept."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(CONTENT, sort_keys=False))
    plan = plan_comparison(str(path))
    kept = KeptRuns(tmp_path / "docs" / "results" / "small")
    for run in plan.asked(scenarios=["one"], seeds=1).runs:
        write_run(run.config.folder, run, domains=("digits",))
        kept.keep(run)
    return path


def test_what_is_there_is_shown_without_training(comparison, tmp_path):
    shown = succeeded(invoke("compare", comparison, "--only", "one", "--seeds", 1, "--dry"))
    assert "1 scenario, 2 methods, 1 seed: 2 runs are there, in docs/results/small, 0 to make" in shown
    assert "small, one: digits" in shown
    assert "small, both" not in shown
    assert not list((tmp_path / "docs" / "results" / "small").glob("comparison.*"))


def test_only_the_scores_that_are_asked_for(comparison):
    arguments = ("compare", comparison, "--only", "one", "--seeds", 1, "--dry")
    assert "TSTR" in succeeded(invoke(*arguments))
    shown = succeeded(invoke(*arguments, "--scores", "fid"))
    assert "FID" in shown
    assert "TSTR" not in shown


def test_a_domain_that_nobody_knows_is_told_before_anything_is_made(comparison):
    text = comparison.read_text().replace("digits", "digit")
    comparison.with_name("wrong.yaml").write_text(text)
    shown = succeeded(invoke("compare", "wrong.yaml", "--only", "one", "--dry"))
    assert shown.count("cannot be made: one, unknown domain 'digit' (did you mean 'digits'?)") == 1
    assert "No run is finished yet." in shown


@pytest.mark.slow
def test_what_was_not_asked_for_stays_in_the_files(comparison, tmp_path):
    shown = succeeded(invoke("compare", comparison, "--methods", "averaged", "--only", "one", "--seeds", 1))
    assert "1 run is there, in docs/results/small, 0 to make" in shown
    content = json.loads((tmp_path / "docs" / "results" / "small" / "comparison.json").read_text())
    assert content["scenarios"]["one"]["methods"]["parted"]["domains"]["digits"]["fid"]["mean"] == 10.0


def test_results_may_lie_elsewhere(comparison, tmp_path):
    elsewhere = ("--results", "kept")
    shown = succeeded(invoke("compare", comparison, "--dry", "--only", "one", "--seeds", 1, *elsewhere))
    # The runs are whole in their own folders, and are taken over from there.
    assert "2 runs are there, in kept/small, 0 to make" in shown
    assert (tmp_path / "kept" / "small" / "one" / "parted-seed-0" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "conf/comparisons: 'nothing' is neither a file nor a known name"),
        (["small.yaml", "--methods", "averages"], "did you mean 'averaged'"),
        (["small.yaml", "--seeds", "9"], "--seeds is 9"),
        (["small.yaml", "--methods", ""], "--methods is '' and names nothing"),
        (["small.yaml", "--scores", "tstr_acuracy"], "did you mean 'tstr_accuracy'"),
        (
            ["small.yaml", "--set", "compute.devise=cpu"],
            "devise=cpu (did you mean 'compute.device'?)",
        ),
        (["small"], "'small' is neither a file nor a known name (did you mean 'small.yaml'?)"),
        (["small.yaml", "--set", "rounds=3"], "that would make other runs than those of small.yaml"),
        (["small.yaml", "--results", "small.yaml"], "small.yaml"),
    ],
)
def test_mistakes_are_told_in_a_sentence(comparison, arguments, words):
    assert words in refused(invoke("compare", *arguments))
