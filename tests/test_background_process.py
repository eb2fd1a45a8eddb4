import os
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from huscf_flwr.background_process import Family, background_process, free_ports

PATIENCE = 20.0
# A process with a child, of which each writes its number and then waits for its end. The child may have a
# session of its own, as Flower's SuperExec has, and not let its environment be read.
FAMILY = (
    "import os, signal, subprocess, sys, time\n"
    "{ignore}\n"
    "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    "child = subprocess.Popen(sleep, {apart})\n"
    "print(os.getpid(), child.pid, flush=True)\n"
    "time.sleep(600)\n"
)
TOGETHER, APART, APART_AND_UNNAMED = "", "start_new_session=True", "start_new_session=True, env={}"
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def is_running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def written(log):
    """The numbers that a process wrote, once it did."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not log.read_text().endswith("\n"):
        time.sleep(0.05)
    return [int(number) for number in log.read_text().split()]


def wait_for_end(numbers):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(map(is_running, numbers)):
        time.sleep(0.05)
    return [number for number in numbers if is_running(number)]


@pytest.mark.parametrize("apart", [TOGETHER, APART, APART_AND_UNNAMED])
@pytest.mark.parametrize("ending", ["well", "with an error", "with Ctrl-C"])
def test_a_process_ends_with_all_that_it_started(tmp_path, monkeypatch, ending, apart):
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    errors = {"well": None, "with an error": OSError("no"), "with Ctrl-C": KeyboardInterrupt()}
    log = tmp_path / "log"
    with (
        pytest.raises(type(errors[ending])) if errors[ending] else nullcontext(),
        background_process(
            [sys.executable, "-c", FAMILY.format(ignore="", apart=apart)], Family(os.environ), log
        ),
    ):
        numbers = written(log)
        assert len(numbers) == 2
        assert all(map(is_running, numbers))
        if errors[ending]:
            raise errors[ending]
    assert wait_for_end(numbers) == []


def test_a_process_that_does_not_listen_is_ended_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("huscf_flwr.background_process._LEADER_SECONDS", 0.2)
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    log = tmp_path / "log"
    deaf = FAMILY.format(ignore="signal.signal(signal.SIGTERM, signal.SIG_IGN)", apart=TOGETHER)
    with background_process([sys.executable, "-c", deaf], Family(os.environ), log):
        numbers = written(log)
    assert wait_for_end(numbers) == []


def test_what_an_ended_process_left_behind_is_ended_too(tmp_path, monkeypatch):
    """As Ray's agents are, for a moment, when the process that started Ray ends before the SuperLink does."""
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    log = tmp_path / "log"
    leaving = FAMILY.format(ignore="", apart=APART).removesuffix("time.sleep(600)\n")
    with background_process([sys.executable, "-c", leaving], Family(os.environ), log) as process:
        (_, orphan) = written(log)
        assert process.wait(PATIENCE) == 0
        assert is_running(orphan)
    assert wait_for_end([orphan]) == []


def test_a_second_ctrl_c_spares_nobody(tmp_path):
    def ctrl_c(timeout=None):
        if timeout is not None:
            raise KeyboardInterrupt
        return subprocess.Popen.wait(process)

    deaf = FAMILY.format(ignore="signal.signal(signal.SIGTERM, signal.SIG_IGN)", apart=APART_AND_UNNAMED)
    log = tmp_path / "log"
    with (
        pytest.raises(KeyboardInterrupt),
        background_process([sys.executable, "-c", deaf], Family(os.environ), log) as process,
    ):
        numbers = written(log)
        process.wait = ctrl_c
    assert len(numbers) == 2
    assert wait_for_end(numbers) == []


@pytest.fixture
def relative():
    """A family, and one of it that it has not seen yet."""
    family = Family(os.environ)
    with subprocess.Popen(SLEEP, env=family.environment) as process:
        yield family, process
        process.kill()


def test_what_one_look_misses_the_next_one_finds(relative, monkeypatch):
    family, process = relative
    missed, all_processes = iter([[]]), psutil.process_iter
    monkeypatch.setattr(psutil, "process_iter", lambda: next(missed, all_processes()))
    family.kill()
    assert not is_running(process.pid)


def test_who_was_seen_once_stays_known_until_its_end(relative, monkeypatch):
    family, process = relative
    assert process.pid in {each.pid for each in family.look()}
    monkeypatch.setattr(psutil, "process_iter", list)
    assert process.pid in {each.pid for each in family.look()}
    process.kill()
    assert wait_for_end([process.pid]) == []
    assert family.look() == set()


def test_a_process_of_ray_keeps_its_environment_when_it_takes_a_title():
    family = Family(os.environ)
    titled = "import ray; ray._raylet.setproctitle('x' * 5000); print(flush=True); input()"
    command = [sys.executable, "-c", titled]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=family.environment, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        assert process.pid in {each.pid for each in family.look()}
        process.communicate(b"\n")


def test_a_process_that_has_ended_is_no_trouble(tmp_path):
    with background_process(
        [sys.executable, "-c", "print('done')"], Family(os.environ), tmp_path / "log"
    ) as process:
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "log").read_text() == "done\n"


def test_free_ports_can_be_had_and_differ():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_what_was_started_while_the_others_were_being_ended_is_ended_too(tmp_path, monkeypatch):
    """By one that has a session of its own, does not listen, and starts another again and again."""
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    restless = (
        "import signal, subprocess, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for _ in range(200):\n"
        "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    time.sleep(0.05)\n"
    )
    starting = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {restless!r}], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    mark = f"MARK={tmp_path}"
    log = tmp_path / "log"
    with background_process(
        [sys.executable, "-c", starting], Family({**os.environ, "MARK": str(tmp_path)}), log
    ):
        assert len(written(log)) == 1
    environments = [path for path in Path("/proc").glob("[0-9]*/environ") if is_running(path.parent.name)]
    assert [path for path in environments if mark.encode() in readable(path)] == []


def readable(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""
