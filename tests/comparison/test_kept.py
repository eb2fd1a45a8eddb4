import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from huscf_flwr.comparison.kept import ORIGIN, KeptRuns, read_origin, write_origin
from huscf_flwr.comparison.plan import plan_comparison
from huscf_flwr.run.origin import origin_of
from tests.comparison.builders import CONTENT, kept_runs, plan_of, write_run


@pytest.fixture
def plan(tmp_path):
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("domains: [digits, letters]\n")
    content = {
        **CONTENT,
        "common": {**CONTENT["common"], "executor": {"certificate": str(tmp_path / "x.pem")}},
    }
    content["scenarios"] = {"both": {"data": {"scenario": str(scenario)}}, "one": CONTENT["scenarios"]["one"]}
    return plan_of(tmp_path, content, overrides=[f"data.root={tmp_path / 'private'}"])


def test_a_kept_run_is_known_again_from_its_small_files_alone(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    run = plan.runs[0]
    assert KeptRuns(kept.folder).why_stale(run, origin_of(run.config)) == []
    assert kept.why_stale(plan.runs[1], origin_of(plan.runs[1].config)) == ["nothing is kept"]


def test_no_path_of_the_machine_is_kept(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    for path in kept.folder.rglob("*"):
        if path.is_file() and path.suffix != ".png":
            assert str(tmp_path) not in path.read_text()


def test_what_changed_since_is_named(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    run = plan.runs[0]
    origin = replace(origin_of(run.config), method_version=7)
    changed = replace(run, config=run.config.model_copy(update={"batch_size": 99}))
    assert kept.why_stale(changed, origin) == [
        "batch_size was 16, and is 99",
        "another version of the method",
    ]


def test_a_folder_without_a_summary_is_no_finished_run(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    (kept.folder_of(plan.runs[0]) / "summary.json").unlink()
    assert kept.record(plan.runs[0]) is None


def test_a_folder_whose_rounds_are_lost_is_no_finished_run(plan, tmp_path):
    run = plan.runs[0]
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    assert kept.record(run) is not None
    (kept.folder_of(run) / "metrics.jsonl").write_text("")
    assert kept.record(run) is None


def test_keeping_again_leaves_nothing_of_before(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    run = plan.runs[0]
    (kept.folder_of(run) / "evaluations.jsonl").write_text('{"round": 1}\n')
    kept.keep(run)
    assert kept.record(run).evaluations == ()


@pytest.mark.parametrize("damage", ["", "{}", '{"scenario": 3}', "[1"])
def test_an_origin_that_cannot_be_read_makes_a_run_anew(plan, tmp_path, damage):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    run = plan.runs[0]
    (kept.folder_of(run) / "origin.json").write_text(damage)
    assert kept.why_stale(run, origin_of(run.config)) == ["it has no origin.json"]


def test_an_origin_is_read_as_it_was_written(plan, tmp_path):
    write_run(tmp_path / "run", plan.runs[0])
    origin = replace(origin_of(plan.runs[0].config), images="abc")
    write_origin(tmp_path / "run" / ORIGIN, origin)
    assert read_origin(tmp_path / "run" / ORIGIN) == origin


def test_a_failure_is_kept_until_the_run_is_made(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    run = plan.runs[0]
    kept.keep_failure(run, "'/home/me/a.npz': no memory (/srv/code/host.py:3, in f); 3/4, ~/x, https://a.b/c")
    assert kept.failure(run) == "'a.npz': no memory (host.py:3, in f); 3/4, ~/x, https://a.b/c"
    assert kept.record(run) is None
    kept.keep(run)
    assert kept.failure(run) is None
    assert kept.record(run) is not None
    assert [path.name for path in kept.folder_of(run).parent.iterdir()] == [run.config.name]


def test_what_somebody_has_put_beside_a_kept_run_stays(plan, tmp_path):
    kept = kept_runs(tmp_path, plan, parted={0: {}})
    folder = kept.folder_of(plan.runs[0])
    (folder / "notes.txt").write_text("mine")
    kept.keep(plan.runs[0])
    assert (folder / "notes.txt").read_text() == "mine"


def test_an_origin_from_before_something_was_looked_at_is_known(plan, tmp_path):
    run = plan.runs[0]
    origin = origin_of(run.config)
    content = {key: value for key, value in asdict(origin).items() if key != "classifiers"}
    (tmp_path / ORIGIN).write_text(json.dumps(content))
    assert read_origin(tmp_path / ORIGIN).differences(origin) == []


RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


@pytest.mark.parametrize("name", sorted(folder.name for folder in RESULTS.iterdir() if folder.is_dir()))
def test_results_in_the_repository_are_what_they_would_be_now(name):
    """Else a change of something that they do not compute from has made them stale."""
    plan, kept = plan_comparison(name), KeptRuns(RESULTS / name)
    finished = [run for run in plan.runs if kept.record(run) is not None]
    assert finished
    stale = {run.name: why for run in finished if (why := kept.why_stale(run, origin_of(run.config)))}
    assert stale == {}
