"""Ctrl-C and SIGTERM: in this process by asking, and from outside on the command itself."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.interruption import (
    InsistedError,
    InterruptedRunError,
    StopRequest,
    stop_requests,
    stopping_at_once,
)
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_progress
from huscf_flwr.run.run_log import LOG_NAME
from huscf_flwr.session import LockStep, MessageSession
from tests.commands.invoking import invoke, settings_of, succeeded
from tests.run.builders import SilentDisplay, assert_same_run, small_run
from tests.run.mid_round import MIDDLE, MidRound

pytestmark = pytest.mark.slow

METHODS = ("huscf", "fedgan")
FAST = {"evaluation.every": 0, "evaluation.images": 2, "evaluation.synthetic_images": 0, "batch_size": 4}
LAST = {"huscf": 8, "fedgan": 4}
"""What progress counts up to: steps of all, or clients that are done."""

train_unjudged = partial(train_locally, judged=False)

_COMMAND = "from huscf_flwr.commands.main import app; app()"


class Stopper(SilentDisplay):
    """Asks for a stop at a progress in a round."""

    def __init__(self, number, step):
        super().__init__()
        self.at, self.request = (number, step), StopRequest()

    def step(self, number, step, steps):
        super().step(number, step, steps)
        if (number, step) == self.at:
            self.request.take(signal.SIGTERM)


@pytest.fixture
def every_step_is_shown(monkeypatch):
    monkeypatch.setattr("huscf_flwr.run.observers._PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr("huscf_flwr.run.local._STOP_POLL_SECONDS", 0.001)


@pytest.fixture
def session_is_told(monkeypatch):
    """An event that is set once a session has been told to stop."""
    told = threading.Event()

    def telling(stop):
        def told_to_stop(session, reason):
            stop(session, reason)
            told.set()

        return told_to_stop

    for kind in (LockStep, MessageSession):
        monkeypatch.setattr(kind, "stop", telling(kind.stop))
    return told


@pytest.mark.usefixtures("every_step_is_shown")
@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_asked_to_stop_ends_its_step_and_is_resumed_to_the_bit(
    images, tmp_path, session_is_told, method, hosts
):
    """A client that trains by itself ends its batch."""
    settings = {"method": method, "rounds": 3, **FAST}
    stopped = small_run(images, tmp_path, name="stopped", **settings)
    display, request = SilentDisplay(), StopRequest()

    def ask():
        request.take(signal.SIGTERM)
        assert session_is_told.wait(600)

    asked = MidRound(2, 1, MIDDLE[method], ask)
    threads = threading.active_count()
    with pytest.raises(
        InterruptedRunError, match=r"stopped by SIGTERM in round 2; round 1 is the last"
    ) as error:
        train_unjudged(stopped, hosts=hosts, display=display, stop=request, make_timer=asked.timer)
    assert error.value.resumable == stopped.folder
    assert error.value.exit_code == 143
    assert threading.active_count() == threads
    if method == "fedgan":
        assert asked.parts[2, 1] == MIDDLE[method]
    assert (1, LAST[method], LAST[method]) in display.steps
    assert (2, LAST[method], LAST[method]) not in display.steps
    assert last_round(stopped.folder) == 1
    assert [line["round"] for line in read_metrics(stopped.folder)] == [1]

    rest = small_run(images, tmp_path, name="stopped", resume=stopped.folder, **settings)
    whole = small_run(images, tmp_path, name="whole", **settings)
    for config in (rest, whole):
        train_unjudged(config, hosts=hosts, display=SilentDisplay())
    assert_same_run(rest.folder, whole.folder)


@pytest.mark.usefixtures("every_step_is_shown")
@pytest.mark.parametrize("method", METHODS)
def test_a_round_whose_last_step_is_done_is_finished(images, tmp_path, method):
    config = small_run(images, tmp_path, rounds=3, method=method, **FAST)
    display = Stopper(2, LAST[method])
    with pytest.raises(InterruptedRunError, match="round 2 is the last that is kept"):
        train_unjudged(config, display=display, stop=display.request)
    assert [line["round"] for line in read_metrics(config.folder)] == [1, 2]


@pytest.mark.usefixtures("every_step_is_shown")
@pytest.mark.parametrize("method", METHODS)
def test_a_run_without_a_finished_round_has_nothing_to_resume(images, tmp_path, method):
    config = small_run(images, tmp_path, method=method, **FAST)
    display = Stopper(1, 1)
    with pytest.raises(InterruptedRunError, match="no round is finished yet, so there is nothing to resume"):
        train_unjudged(config, display=display, stop=display.request)


class StopperAtNote(SilentDisplay):
    """Asks for a stop at the first line that begins so."""

    def __init__(self, beginning):
        super().__init__()
        self.beginning, self.request = beginning, StopRequest()

    def note(self, text):
        super().note(text)
        if text.startswith(self.beginning) and self.request.cause is None:
            self.request.take(signal.SIGTERM)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_asked_to_stop_while_it_is_judged_at_the_end_stops_and_loses_nothing(
    images, tmp_path, method
):
    """Whoever stops it waits for a step, and not for minutes of judging; what is trained is there."""
    settings = {"method": method, "rounds": 2, **FAST, "evaluation.synthetic_images": 64}
    config = small_run(images, tmp_path, name="stopped", **settings)
    display = StopperAtNote("judging the generators")
    with pytest.raises(InterruptedRunError, match=r"^stopped by SIGTERM; round 2 is the last") as stopped:
        train_locally(config, display=display, stop=display.request)
    assert stopped.value.resumable == config.folder
    assert not (config.folder / "summary.json").exists()
    rest = small_run(images, tmp_path, name="stopped", resume=config.folder, **settings)
    whole = small_run(images, tmp_path, name="whole", **settings)
    for each in (rest, whole):
        train_locally(each, display=SilentDisplay())
    assert_same_run(rest.folder, whole.folder)


def test_a_run_that_is_asked_to_stop_while_judges_are_trained_stops_before_its_first_round(images, tmp_path):
    config = small_run(images, tmp_path, **{"data.cache": tmp_path / "empty", "evaluation.images": 64})
    display = StopperAtNote("training the judge of")
    with pytest.raises(InterruptedRunError, match="nothing has been done yet; the same command begins again"):
        train_locally(config, display=display, stop=display.request)
    assert display.steps == []


@pytest.mark.parametrize("name", ["begun", "branch"])
def test_a_resumed_run_that_is_asked_to_stop_while_judges_are_trained_loses_nothing_that_was_asked(
    images, tmp_path, name
):
    """More rounds, an older one to go on from, and another name are in no file yet: no line has them all."""
    settings = {"method": "fedgan", **FAST, "evaluation.images": 64}
    begun = small_run(images, tmp_path, name="begun", rounds=2, **{**settings, "checkpoint.keep_last": 2})
    train_locally(begun, display=SilentDisplay(), judged=False)
    before = (begun.folder / "config.yaml").read_bytes()
    resumed = {"rounds": 3, "resume": begun.folder, "resume_round": 1, "data.cache": tmp_path / "empty"}
    config = small_run(images, tmp_path, name=name, **settings, **resumed)
    display = StopperAtNote("training the judge of")
    with pytest.raises(
        InterruptedRunError, match=r"^stopped by SIGTERM; nothing has been done yet; the same command"
    ) as stopped:
        train_locally(config, display=display, stop=display.request)
    assert stopped.value.resumable is None
    assert ((begun.folder / "config.yaml").read_bytes(), last_round(begun.folder)) == (before, 2)
    train_locally(config, display=SilentDisplay())
    assert [line["round"] for line in read_metrics(config.folder)] == [1, 2, 3]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_at_once_ends_as_signals_end_it_and_says_how_to_go_on(
    number, code, tmp_path, capsys
):
    with pytest.raises(typer.Exit) as ended, errors_as_messages(["huscf", "run"]) as kept:
        kept.watch(tmp_path)
        (tmp_path / "checkpoint").mkdir()
        (tmp_path / "checkpoint" / "server-0003.json").touch()
        (tmp_path / "config.yaml").write_text("resume_round: null")
        with stop_requests(quiet=True):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), number)
    assert ended.value.exit_code == code
    assert capsys.readouterr().err.splitlines() == [
        f"stopped by {number.name} at once",
        "to go on:",
        f"huscf run {tmp_path}/config.yaml --set resume={tmp_path}",
    ]


def test_the_first_signal_asks_and_the_second_insists(capfd):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_requests() as stop:
        assert stop.cause is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.cause is signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert "once more to stop without waiting" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_is_to_be_kept_the_first_signal_stops_at_once(number):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(InsistedError) as stopped, stopping_at_once():
        os.kill(os.getpid(), number)
    assert (stopped.value.cause, stopped.value.exit_code) == (number, 128 + number)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("stopping", "asked"), [(stopping_at_once, 0), (stop_requests, 1)])
def test_who_is_stopping_at_once_is_not_interrupted_again(stopping, asked):
    """It waits for threads then: an exception there would leave them to an interpreter that is torn down."""
    with stopping():
        for _ in range(asked):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InsistedError):
            os.kill(os.getpid(), signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)


@pytest.mark.parametrize("method", METHODS)
def test_hosts_do_not_train_on_where_the_interrupt_comes_before_all_have_begun(
    images, tmp_path, monkeypatch, method
):
    aborted = []

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *arguments):
            super().submit(*arguments)
            raise InsistedError(signal.SIGTERM)

    monkeypatch.setattr("huscf_flwr.run.local.ThreadPoolExecutor", Interrupted)
    for kind in (LockStep, MessageSession):
        abort = kind.abort
        monkeypatch.setattr(kind, "abort", lambda *told, abort=abort: (aborted.append(told[1]), abort(*told)))
    with pytest.raises(InsistedError) as stopped:
        train_locally(small_run(images, tmp_path, method=method, **FAST), hosts=2, display=SilentDisplay())
    assert stopped.value in aborted


@pytest.mark.parametrize(
    ("method", "number", "code"),
    [("huscf", signal.SIGINT, 130), ("fedgan", signal.SIGTERM, 143)],
)
def test_the_command_ends_its_step_and_says_how_to_go_on(images, tmp_path, method, number, code):
    config = small_run(images, tmp_path, rounds=999, method=method, **FAST)
    command = [sys.executable, "-c", _COMMAND, "run", "demo", "--engine", "local", *settings_of(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while not ((read_progress(config.folder) or {"round": 0})["round"] >= 2):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        _, error = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == code
    *_, why, _, how = error.splitlines()
    assert why.startswith(f"stopped by {number.name}")
    assert "Traceback" not in error
    kept = last_round(config.folder)
    assert kept == len(read_metrics(config.folder)) >= 1
    last_line = json.loads((config.folder / LOG_NAME).read_text().splitlines()[-1])
    assert (last_line["level"], last_line["message"]) == ("WARNING", f"the run ends: {why}")
    assert "exception" not in last_line

    program, *words = shlex.split(how)
    assert program == "huscf"
    succeeded(invoke(*words, "--set", f"rounds={kept + 1}"))
    whole = small_run(images, tmp_path, name="whole", rounds=kept + 1, method=method, **FAST)
    train_locally(whole, display=SilentDisplay())
    assert_same_run(config.folder, whole.folder)
