"""Ctrl-C and SIGTERM: in this process by asking, and from outside on the command itself."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from huscf_flwr.config import to_run_config
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.interruption import InterruptedRunError, StopRequest, stop_requests
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_progress
from tests.run.builders import SilentDisplay, assert_same_run, small_run

pytestmark = pytest.mark.slow

FAST = {"evaluation.every": 0, "evaluation.images": 2, "evaluation.synthetic_images": 0, "batch_size": 4}


_COMMAND = "from huscf_flwr.commands.main import app; app()"


class Stopper(SilentDisplay):
    """Asks for a stop after a step of a round."""

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


@pytest.mark.usefixtures("every_step_is_shown")
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_run_that_is_asked_to_stop_ends_its_step_and_is_resumed_to_the_bit(images, tmp_path, hosts):
    stopped = small_run(images, tmp_path, name="stopped", rounds=3, **FAST)
    display = Stopper(2, 1)
    threads = threading.active_count()
    with pytest.raises(
        InterruptedRunError, match=r"stopped by SIGTERM in round 2; round 1 is the last"
    ) as error:
        train_locally(stopped, hosts=hosts, display=display, stop=display.request)
    assert f"--set resume={stopped.folder}" in str(error.value)
    assert error.value.exit_code == 143
    assert threading.active_count() == threads
    assert (2, 1, 8) in display.steps
    assert (2, 8, 8) not in display.steps
    assert last_round(stopped.folder) == 1
    assert [line["round"] for line in read_metrics(stopped.folder)] == [1]

    rest = small_run(images, tmp_path, name="stopped", rounds=3, resume=stopped.folder, **FAST)
    whole = small_run(images, tmp_path, name="whole", rounds=3, **FAST)
    for config in (rest, whole):
        train_locally(config, hosts=hosts, display=SilentDisplay())
    assert_same_run(rest.folder, whole.folder)


@pytest.mark.usefixtures("every_step_is_shown")
def test_a_round_whose_last_step_is_done_is_finished(images, tmp_path):
    config = small_run(images, tmp_path, rounds=3, **FAST)
    display = Stopper(2, 8)
    with pytest.raises(InterruptedRunError, match="round 2 is the last that is kept"):
        train_locally(config, display=display, stop=display.request)
    assert [line["round"] for line in read_metrics(config.folder)] == [1, 2]


@pytest.mark.usefixtures("every_step_is_shown")
def test_a_run_without_a_finished_round_has_nothing_to_resume(images, tmp_path):
    config = small_run(images, tmp_path, **FAST)
    display = Stopper(1, 1)
    with pytest.raises(InterruptedRunError, match="no round is finished yet, so there is nothing to resume"):
        train_locally(config, display=display, stop=display.request)


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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_its_step_and_says_how_to_go_on(images, tmp_path, number, code):
    config = small_run(images, tmp_path, rounds=999, **FAST)
    settings = [f"--set={key}={value}" for key, value in to_run_config(config).items() if value != ""]
    command = [sys.executable, "-c", _COMMAND, "run", "demo", "--engine", "local", *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while not ((read_progress(config.folder) or {"round": 0})["round"] >= 2):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert f"stopped by {number.name}" in error
    assert f"go on with --set resume={config.folder}" in error
    assert "Traceback" not in error
    assert last_round(config.folder) == len(read_metrics(config.folder)) >= 1
