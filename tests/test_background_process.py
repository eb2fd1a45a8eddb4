import os
import socket
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from huscf_flwr.background_process import background_process, free_ports

PATIENCE = 20.0
# A process with a child, of which each writes its number and then waits for its end; the child may have a
# session of its own, as Flower's SuperExec has.
FAMILY = (
    "import os, signal, subprocess, sys, time\n"
    "{ignore}\n"
    "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    "child = subprocess.Popen(sleep, start_new_session={apart})\n"
    "print(os.getpid(), child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def is_running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def family(log):
    """The numbers that the process wrote, once it did."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not log.read_text().endswith("\n"):
        time.sleep(0.05)
    return [int(number) for number in log.read_text().split()]


def wait_for_end(numbers):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(map(is_running, numbers)):
        time.sleep(0.05)
    return [number for number in numbers if is_running(number)]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("ending", ["well", "with an error", "with Ctrl-C"])
def test_a_process_ends_with_all_that_it_started(tmp_path, monkeypatch, ending, apart):
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    errors = {"well": None, "with an error": OSError("no"), "with Ctrl-C": KeyboardInterrupt()}
    log = tmp_path / "log"
    with (
        pytest.raises(type(errors[ending])) if errors[ending] else nullcontext(),
        background_process([sys.executable, "-c", FAMILY.format(ignore="", apart=apart)], os.environ, log),
    ):
        numbers = family(log)
        assert len(numbers) == 2
        assert all(map(is_running, numbers))
        if errors[ending]:
            raise errors[ending]
    assert wait_for_end(numbers) == []


def test_a_process_that_does_not_listen_is_ended_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("huscf_flwr.background_process._LEADER_SECONDS", 0.2)
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    log = tmp_path / "log"
    deaf = FAMILY.format(ignore="signal.signal(signal.SIGTERM, signal.SIG_IGN)", apart=False)
    with background_process([sys.executable, "-c", deaf], os.environ, log):
        numbers = family(log)
    assert wait_for_end(numbers) == []


def test_what_an_ended_process_left_behind_is_ended_too(tmp_path, monkeypatch):
    """As Ray's agents are, for a moment, when the process that started Ray ends before the SuperLink does."""
    monkeypatch.setattr("huscf_flwr.background_process._FAMILY_SECONDS", 0.2)
    log = tmp_path / "log"
    leaving = FAMILY.format(ignore="", apart=True).removesuffix("time.sleep(600)\n")
    with background_process([sys.executable, "-c", leaving], os.environ, log) as process:
        (_, orphan) = family(log)
        assert process.wait(PATIENCE) == 0
        assert is_running(orphan)
    assert wait_for_end([orphan]) == []


def test_a_process_that_has_ended_is_no_trouble(tmp_path):
    with background_process([sys.executable, "-c", "print('done')"], os.environ, tmp_path / "log") as process:
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
    with background_process([sys.executable, "-c", starting], {**os.environ, "MARK": str(tmp_path)}, log):
        assert len(family(log)) == 1
    environments = [path for path in Path("/proc").glob("[0-9]*/environ") if is_running(path.parent.name)]
    assert [path for path in environments if mark.encode() in readable(path)] == []


def readable(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""
