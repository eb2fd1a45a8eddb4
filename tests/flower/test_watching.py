"""How a run is followed until Flower says that it is over, without a SuperLink."""

import json
import os
import signal

import pytest

from huscf_flwr.config import load_config
from huscf_flwr.flower import watching
from huscf_flwr.flower.superlink import FlowerRunError
from huscf_flwr.flower.told_lines import private_home, tell_launcher
from huscf_flwr.flower.watching import WatchedFolder
from huscf_flwr.run.interruption import StopRequest
from tests.run.builders import SilentDisplay


class Answers:
    """Of a SuperLink to questions for the status of a run; None is a failure."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.stopped = []

    def stop(self, run_id):
        self.stopped.append(run_id)

    def status(self, run_id):
        answer = self.answers.pop(0)
        if answer is None:
            raise FlowerRunError("flwr list failed")
        return answer


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(watching, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(watching, "_STATUS_SECONDS", -1.0)


def watch(answers, tmp_path):
    watched = WatchedFolder(load_config("demo", [f"output={tmp_path}"]), SilentDisplay())
    return watching.watch(answers, "3", watched, StopRequest())


def write_lines(path, *rounds):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"round": number}) + "\n" for number in rounds))


def rounds_of(lines):
    return [line["round"] for line in lines]


def test_a_run_goes_on_though_flower_fails_to_answer_twice(impatient, tmp_path):
    answers = Answers(None, None, "running", None, None, "finished:completed")
    assert watch(answers, tmp_path) == "finished:completed"


def test_a_run_is_given_up_if_flower_fails_to_answer_three_times(impatient, tmp_path):
    answers = Answers("running", None, None, None, "finished:completed")
    with pytest.raises(FlowerRunError, match="flwr list failed"):
        watch(answers, tmp_path)
    assert answers.answers == ["finished:completed"]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_run_that_is_done_but_for_its_report_is_not_stopped_and_this_is_said(is_done, impatient, tmp_path):
    """It would be called stopped, and be without its report."""
    config, stop = load_config("demo", [f"output={tmp_path}"]), StopRequest(quiet=True)
    display = SilentDisplay()
    watched = WatchedFolder(config, display)
    write_lines(config.folder / "metrics.jsonl", 1)
    (config.folder / "config.yaml").touch()
    # The clocks of file systems are coarse.
    os.utime(config.folder / "config.yaml", (0, 0))
    if is_done:
        (config.folder / "summary.json").write_text("{}")
    stop.take(signal.SIGTERM)
    answers = Answers("running", "running", "finished:completed")
    assert watching.watch(answers, "3", watched, stop) == "finished:completed"
    assert answers.stopped == ([] if is_done else ["3"])
    assert display.notes == (["all is trained and judged; waiting for the report"] if is_done else [])


def test_rounds_and_evaluations_are_shown_once_and_in_their_order(tmp_path):
    told = []

    class Display(SilentDisplay):
        def round(self, metrics, rounds):
            told.append(("round", metrics["round"]))

        def evaluation(self, line):
            told.append(("evaluation", line["round"]))

    config = load_config("demo", [f"output={tmp_path}"])
    watched = WatchedFolder(config, Display())
    watched.show()
    assert told == []
    write_lines(config.folder / "metrics.jsonl", 1, 2)
    write_lines(config.folder / "evaluations.jsonl", 1)
    (config.folder / "config.yaml").write_text("")
    watched.show()
    assert told == [("round", 1), ("evaluation", 1), ("round", 2)]
    write_lines(config.folder / "evaluations.jsonl", 1, 2)
    watched.show()
    watched.show()
    assert told[3:] == [("evaluation", 2)]


def test_what_a_run_tells_before_its_folder_is_there_is_shown_once_and_whole(tmp_path):
    config, display = load_config("demo", [f"output={tmp_path}"]), SilentDisplay()
    private_home(config).mkdir(parents=True)
    watched = WatchedFolder(config, display)
    for line in ("training the judge of digits", "steps of training\nthe judge of digits: 100 of 1,562"):
        tell_launcher(config, line)
        watched.show()
    watched.show()
    told = ["training the judge of digits", "steps of training the judge of digits: 100 of 1,562"]
    assert display.notes == told
    with (private_home(config) / "told.txt").open("a") as file:
        file.write("half a li")
    watched.show()
    assert display.notes == told
    WatchedFolder(config, display).show()
    assert display.notes == told, "another run of the name begins anew"


def test_a_run_that_nobody_has_launched_writes_nothing_for_a_launcher(tmp_path):
    config = load_config("demo", [f"output={tmp_path}"])
    tell_launcher(config, "a line")
    WatchedFolder(config, SilentDisplay()).show()
    tell_launcher(config, "a line")
    assert not list(tmp_path.iterdir())


def test_what_the_run_warns_of_is_shown_as_it_comes(tmp_path):
    """Such as what is odd about images, which the ServerApp finds."""
    config, display = load_config("demo", [f"output={tmp_path}"]), SilentDisplay()
    config.folder.mkdir()
    log = [json.dumps({"level": "WARNING", "message": "before this run was resumed here"})]
    (config.folder / "log.jsonl").write_text(log[0] + "\n")
    watched = WatchedFolder(config, display)
    (config.folder / "config.yaml").write_text("")
    said = (("INFO", "begins"), ("WARNING", "pixels end at 1"), ("WARNING", "client 1 dropped out"))
    for level, message in said:
        log.append(json.dumps({"level": level, "message": message}))
        (config.folder / "log.jsonl").write_text("\n".join([*log, '{"level": "WA']))
        watched.show()
    watched.show()
    assert display.notes == ["pixels end at 1", "client 1 dropped out"]


def test_what_a_run_takes_over_is_not_shown_again_and_known_without_reading_its_checkpoint(tmp_path):
    """Which is read once, by the run itself."""
    before, display = tmp_path / "before", SilentDisplay()
    (before / "checkpoint").mkdir(parents=True)
    for number in (3, 4):
        (before / "checkpoint" / f"server-{number:04}.json").write_text("damaged")
    write_lines(before / "evaluations.jsonl", 2, 4)
    for settings, rounds, evaluations in (([], [5], []), (["resume_round=3"], [4, 5], [4])):
        config = load_config("demo", [f"output={tmp_path}", f"resume={before}", *settings])
        display = SilentDisplay()
        watched = WatchedFolder(config, display)
        assert display.notes == [f"goes on from {before} after round {rounds[0] - 1}"]
        write_lines(config.folder / "metrics.jsonl", 1, 2, 3, 4, 5)
        write_lines(config.folder / "evaluations.jsonl", 2, 4)
        (config.folder / "config.yaml").write_text("")
        watched.show()
        assert rounds_of(display.rounds) == rounds
        assert rounds_of(display.evaluations) == evaluations


def test_an_evaluation_that_a_resumed_run_catches_up_is_shown(tmp_path):
    before = tmp_path / "before"
    (before / "checkpoint").mkdir(parents=True)
    (before / "checkpoint" / "server-0004.json").write_text("")
    write_lines(before / "evaluations.jsonl", 2)
    config, display = load_config("demo", [f"output={tmp_path}", f"resume={before}"]), SilentDisplay()
    watched = WatchedFolder(config, display)
    write_lines(config.folder / "metrics.jsonl", 1, 2, 3, 4)
    write_lines(config.folder / "evaluations.jsonl", 2, 4)
    (config.folder / "config.yaml").write_text("")
    watched.show()
    assert (rounds_of(display.rounds), rounds_of(display.evaluations)) == ([], [4])
