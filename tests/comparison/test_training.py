"""Runs in processes of their own; they take seconds to start, so that few are made here."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.comparison import training
from huscf_flwr.comparison.kept import ORIGIN, KeptRuns, write_origin
from huscf_flwr.comparison.one_run import resumable
from huscf_flwr.comparison.training import (
    Origins,
    StoppedComparisonError,
    missing_runs,
    train_runs,
)
from huscf_flwr.data import write_idx_folder
from huscf_flwr.run.checkpoint import last_round
from tests.comparison.builders import plan_of, write_run
from tests.run.builders import PER_CLASS, striped_images, write_domains

pytestmark = pytest.mark.slow


class Told:
    """A display that remembers."""

    def __init__(self):
        self.notes, self.ended, self.seen = [], {}, set()

    def running(self, runs):
        self.seen.update(run.name for run in runs)

    def done(self, run, error):
        self.ended[run.name] = error

    def note(self, text):
        self.notes.append(text)


def content_of(root, **methods):
    return {
        "seeds": [3],
        "common": {
            "rounds": 2,
            "local_epochs": 1,
            "batch_size": 16,
            "clients": 4,
            "model": {"width": 0.03},
            "compute": {"threads": 1},
            "evaluation": {"images": 20, "synthetic_images": 20},
        },
        "scenarios": {"small": {"data": {"domains": ["digits", "letters"], "root": str(root)}}},
        "methods": methods,
    }


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
    return write_domains(tmp_path / "images")


def kept_of(plan, tmp_path):
    return KeptRuns(tmp_path / "results" / plan.name)


def test_runs_are_made_kept_and_known_again_and_a_failure_stops_no_other(root, tmp_path):
    broken = {"method": "tests.comparison.broken:Broken"}
    plan = plan_of(tmp_path, content_of(root, good={"method": "fedgan"}, bad=broken, own={"method": "local"}))
    kept, told = kept_of(plan, tmp_path), Told()
    due = missing_runs(plan, kept, told)
    assert [run.column for run in due] == ["good", "bad", "own"]

    failures = train_runs(due, kept, jobs=2, display=told)

    assert failures.keys() == {"small/bad-seed-3"}
    assert "broken on purpose" in failures["small/bad-seed-3"]
    assert told.ended == {"small/good-seed-3": None, "small/own-seed-3": None} | failures
    assert told.seen == told.ended.keys()
    good, bad, own = plan.runs
    assert kept.record(good).domains.keys() == {"digits", "letters"}
    for run in (good, own):
        pictures = {path.stem for path in (kept.folder_of(run) / "pictures").iterdir()}
        assert pictures == {"digits", "letters"}
    sent = [client["bytes"]["down"] for client in kept.record(good).rounds[0]["clients"]]
    assert len(set(sent)) == 1  # what all are sent is counted for each
    assert missing_runs(plan, kept, told) == [bad]
    assert told.notes == []
    assert due == []


def test_other_images_make_a_run_anew(root, tmp_path):
    plan = plan_of(tmp_path, content_of(root, good={"method": "fedgan"}))
    kept, told = kept_of(plan, tmp_path), Told()
    write_run(plan.runs[0].config.folder, plan.runs[0])
    write_origin(plan.runs[0].config.folder / ORIGIN, Origins().of(plan.runs[0].config))
    assert missing_runs(plan, kept, told) == []  # finished, and now kept

    train, test = (striped_images("digits", count) for count in PER_CLASS.values())
    train.labels[-1] = (train.labels[-1] + 1) % 10
    shutil.rmtree(root / "digits")
    write_idx_folder(root / "digits", train, test)
    assert missing_runs(plan, kept, told) == list(plan.runs)
    assert told.notes == ["small/good-seed-3 has to be made anew: other images"]


def test_a_run_ends_with_its_parent(root, tmp_path):
    """However the parent has ended: here it is killed."""
    content = content_of(root, good={"method": "fedgan"})
    content["common"]["rounds"] = 400
    run = plan_of(tmp_path, content).runs[0]
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from huscf_flwr.comparison.plan import plan_comparison\n"
        "from huscf_flwr.comparison.training import _Job\n"
        "from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "run = plan_comparison(str(folder / 'small.yaml'), output=folder / 'runs').runs[0]\n"
        "job = _Job(run, 1)\n"
        "print(job._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        while not last_round(run.config.folder):
            time.sleep(0.1)
        parent.kill()
    child.wait(timeout=300)
    assert "stopped by SIGTERM" in (run.config.folder / "log.jsonl").read_text()


def test_without_the_images_what_is_kept_is_taken_as_it_is(root, tmp_path):
    (root / "digits").rename(root / "strokes")
    content = content_of(root, good={"method": "fedgan"})
    content["scenarios"]["small"]["data"]["domains"] = ["strokes"]
    plan = plan_of(tmp_path, content)
    kept, told = kept_of(plan, tmp_path), Told()
    (run,) = plan.runs
    write_run(run.config.folder, run)
    write_origin(run.config.folder / ORIGIN, Origins().of(run.config))
    kept.keep(run)
    shutil.rmtree(root)
    assert Origins().of(run.config).images is None
    assert missing_runs(plan, kept, told) == []


def test_a_comparison_that_is_stopped_at_once_says_how_to_go_on_too(root, tmp_path, monkeypatch, capsys):
    killed = []

    class Job:
        def __init__(self, run, threads):
            self.run = run

        def ask_to_stop(self, cause):
            os.kill(os.getpid(), signal.SIGTERM)

        def kill(self):
            killed.append(self.run)

    class Stopping(Told):
        def running(self, runs):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training, "_Job", Job)
    plan = plan_of(tmp_path, content_of(root, good={"method": "fedgan"}))
    due = list(plan.runs)
    with pytest.raises(typer.Exit) as ended, errors_as_messages(["huscf", "compare"]):
        train_runs(due, kept_of(plan, tmp_path), jobs=1, display=Stopping())
    assert ended.value.exit_code == 143
    assert capsys.readouterr().err.splitlines()[-1] == "stopped by SIGTERM at once; the same command goes on"
    assert killed == due[:1] == list(plan.runs)[:1]


def test_a_stopped_comparison_goes_on_from_its_checkpoints(root, tmp_path):
    content = content_of(root, good={"method": "fedgan"})
    content["common"]["rounds"] = 400
    plan = plan_of(tmp_path, content)
    kept = kept_of(plan, tmp_path)
    folder = plan.runs[0].config.folder

    class Stopping(Told):
        def running(self, runs):
            if last_round(folder) and not self.ended:
                self.ended["asked"] = None
                os.kill(os.getpid(), signal.SIGINT)

    due = list(plan.runs)
    with pytest.raises(StoppedComparisonError, match="the same command goes on"):
        train_runs(due, kept, jobs=1, display=Stopping())
    assert due == list(plan.runs)
    assert kept.record(plan.runs[0]) is None
    done, config = last_round(folder), plan.runs[0].config
    origin = Origins().of(config)
    assert resumable(config, origin).resume == folder

    # What would compute anything else begins anew.
    assert resumable(config, replace(origin, images="0")).resume is None
    assert resumable(config, replace(origin, method_version=2)).resume is None
    for change in ({"batch_size": 8}, {"rounds": done + 1}):
        assert resumable(config.model_copy(update=change), origin).resume is None
    for path in (folder / "checkpoint").glob("server-*.json"):
        path.unlink()
    assert resumable(config, origin).resume is None
