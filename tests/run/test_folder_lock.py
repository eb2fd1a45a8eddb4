"""One process at a time writes into a folder, whatever becomes of it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from huscf_flwr.run.folder_lock import FolderInUseError, check_free, held

HOLD = """
import sys, time
from pathlib import Path
from huscf_flwr.run.folder_lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder until it is told to end, or is killed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_that_is_held_is_refused_naming_the_process(holder, tmp_path):
    problem = rf"run is being written by process {holder.pid} \(.*\) on .*: wait .* another name"
    with pytest.raises(FolderInUseError, match=problem):
        check_free(tmp_path / "run")
    with pytest.raises(FolderInUseError, match=problem), held(tmp_path / "run"):
        pass
    with held(tmp_path / "another"):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_dead_process_holds_nothing(holder, tmp_path, number):
    os.kill(holder.pid, number)
    holder.wait()
    check_free(tmp_path / "run")
    with held(tmp_path / "run"), pytest.raises(FolderInUseError, match=rf"process {os.getpid()} "):
        check_free(tmp_path / "run")


def test_whoever_waits_has_it_once_the_other_one_has_ended(holder, tmp_path):
    def wait():
        with held(tmp_path / "run", waits=True):
            return holder.poll()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        while not _is_opened(tmp_path / ".run.lock"):
            pass
        assert not waiting.done()
        holder.kill()
        holder.wait()
        assert waiting.result() is not None


def _is_opened(path):
    """Whether this process has the file open."""
    return any(os.path.realpath(each) == str(path) for each in Path("/proc/self/fd").iterdir())


def test_whoever_is_in_the_same_process_is_refused_too(tmp_path):
    with held(tmp_path / "run"), pytest.raises(FolderInUseError), held(tmp_path / "run"):
        pass


def test_a_folder_is_the_same_by_another_way(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "run")
    with held(tmp_path / "run"), pytest.raises(FolderInUseError):
        check_free(tmp_path / "way")


def test_a_folder_may_be_moved_while_it_is_held_and_nothing_is_left(tmp_path):
    (tmp_path / "run").mkdir()
    with held(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(FolderInUseError):
            check_free(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_a_look_leaves_nothing(tmp_path):
    check_free(tmp_path / "nowhere" / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_taken_while_it_is_removed_is_made_anew(tmp_path, monkeypatch):
    """The holder ends between our opening of the file and our lock on it: its file is nobody's lock."""
    path = tmp_path / ".run.lock"
    real, seen = os.open, []

    def opened(file, *how):
        handle = real(file, *how)
        if not seen:
            path.unlink()
        seen.append(file)
        return handle

    monkeypatch.setattr(os, "open", opened)
    with held(tmp_path / "run"):
        assert len(seen) == 2
        assert path.is_file()
