import os
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from huscf_flwr.background_process import ProcessTree, background_process, free_ports

PATIENCE = 300.0
# A process with a child, which prints both process ids and waits. The child may have its own session, as
# Flower's SuperExec does, and may lack the tree's id in its environment.
PARENT_AND_CHILD = (
    "import os, signal, subprocess, sys, time\n"
    "{ignore}\n"
    "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    "child = subprocess.Popen(sleep, {session})\n"
    "print(os.getpid(), child.pid, flush=True)\n"
    "time.sleep(600)\n"
)
SAME_SESSION, OWN_SESSION, OWN_SESSION_WITHOUT_ID = (
    "",
    "start_new_session=True",
    "start_new_session=True, env={}",
)
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def is_running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def printed_ids(log):
    """Wait for the process ids that a process prints, and return them."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not log.read_text().endswith("\n"):
        time.sleep(0.05)
    return [int(number) for number in log.read_text().split()]


def wait_for_end(numbers):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(map(is_running, numbers)):
        time.sleep(0.05)
    return [number for number in numbers if is_running(number)]


@pytest.mark.parametrize("session", [SAME_SESSION, OWN_SESSION, OWN_SESSION_WITHOUT_ID])
@pytest.mark.parametrize("ending", ["well", "with an error", "with Ctrl-C"])
def test_a_process_is_stopped_with_everything_that_it_started(tmp_path, monkeypatch, ending, session):
    monkeypatch.setattr("huscf_flwr.background_process._MEMBERS_SECONDS", 0.2)
    errors = {"well": None, "with an error": OSError("no"), "with Ctrl-C": KeyboardInterrupt()}
    log = tmp_path / "log"
    with (
        pytest.raises(type(errors[ending])) if errors[ending] else nullcontext(),
        background_process(
            [sys.executable, "-c", PARENT_AND_CHILD.format(ignore="", session=session)],
            ProcessTree(os.environ),
            log,
        ),
    ):
        numbers = printed_ids(log)
        assert len(numbers) == 2
        assert all(map(is_running, numbers))
        if errors[ending]:
            raise errors[ending]
    assert wait_for_end(numbers) == []


def test_a_process_that_ignores_the_signal_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("huscf_flwr.background_process._LEADER_SECONDS", 0.2)
    monkeypatch.setattr("huscf_flwr.background_process._MEMBERS_SECONDS", 0.2)
    log = tmp_path / "log"
    ignoring = PARENT_AND_CHILD.format(
        ignore="signal.signal(signal.SIGTERM, signal.SIG_IGN)", session=SAME_SESSION
    )
    with background_process([sys.executable, "-c", ignoring], ProcessTree(os.environ), log):
        numbers = printed_ids(log)
    assert wait_for_end(numbers) == []


def test_a_child_that_an_ended_process_left_behind_is_stopped(tmp_path, monkeypatch):
    """Like Ray's agents, for a moment, if the process that started Ray ends before the SuperLink."""
    monkeypatch.setattr("huscf_flwr.background_process._MEMBERS_SECONDS", 0.2)
    log = tmp_path / "log"
    leaving = PARENT_AND_CHILD.format(ignore="", session=OWN_SESSION).removesuffix("time.sleep(600)\n")
    with background_process([sys.executable, "-c", leaving], ProcessTree(os.environ), log) as process:
        (_, orphan) = printed_ids(log)
        assert process.wait(PATIENCE) == 0
        assert is_running(orphan)
    assert wait_for_end([orphan]) == []


def test_a_second_ctrl_c_still_kills_all(tmp_path):
    def ctrl_c(timeout=None):
        if timeout is not None:
            raise KeyboardInterrupt
        return subprocess.Popen.wait(process)

    ignoring = PARENT_AND_CHILD.format(
        ignore="signal.signal(signal.SIGTERM, signal.SIG_IGN)", session=OWN_SESSION_WITHOUT_ID
    )
    log = tmp_path / "log"
    with (
        pytest.raises(KeyboardInterrupt),
        background_process([sys.executable, "-c", ignoring], ProcessTree(os.environ), log) as process,
    ):
        numbers = printed_ids(log)
        process.wait = ctrl_c
    assert len(numbers) == 2
    assert wait_for_end(numbers) == []


@pytest.fixture
def tree_and_member():
    """A tree, and a member that it has not found yet."""
    tree = ProcessTree(os.environ)
    with subprocess.Popen(SLEEP, env=tree.environment) as process:
        yield tree, process
        process.kill()


def test_what_one_search_misses_the_next_one_finds(tree_and_member, monkeypatch):
    tree, process = tree_and_member
    missed, all_processes = iter([[]]), psutil.process_iter
    monkeypatch.setattr(psutil, "process_iter", lambda: next(missed, all_processes()))
    tree.kill()
    assert not is_running(process.pid)


def test_a_member_that_was_found_once_stays_one_until_it_ends(tree_and_member, monkeypatch):
    tree, process = tree_and_member
    assert process.pid in {each.pid for each in tree.running()}
    monkeypatch.setattr(psutil, "process_iter", list)
    assert process.pid in {each.pid for each in tree.running()}
    process.kill()
    assert wait_for_end([process.pid]) == []
    assert tree.running() == set()


def test_a_process_of_ray_keeps_its_environment_when_it_takes_a_title():
    tree = ProcessTree(os.environ)
    titled = "import ray; ray._raylet.setproctitle('x' * 5000); print(flush=True); input()"
    command = [sys.executable, "-c", titled]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=tree.environment, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        assert process.pid in {each.pid for each in tree.running()}
        process.communicate(b"\n")


def test_a_process_that_has_already_ended_is_no_error(tmp_path):
    with background_process(
        [sys.executable, "-c", "print('done')"], ProcessTree(os.environ), tmp_path / "log"
    ) as process:
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "log").read_text() == "done\n"


def test_free_ports_are_free_and_differ():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_process_that_starts_while_others_are_killed_is_killed_too(tmp_path, monkeypatch):
    """Its parent has its own session, ignores the signal, and keeps starting processes."""
    monkeypatch.setattr("huscf_flwr.background_process._MEMBERS_SECONDS", 0.2)
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
        [sys.executable, "-c", starting], ProcessTree({**os.environ, "MARK": str(tmp_path)}), log
    ):
        assert len(printed_ids(log)) == 1
    environments = [path for path in Path("/proc").glob("[0-9]*/environ") if is_running(path.parent.name)]
    assert [path for path in environments if mark.encode() in readable(path)] == []


def readable(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""
