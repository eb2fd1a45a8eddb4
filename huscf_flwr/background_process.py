"""Processes in the background, which are stopped together with everything that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_LEADER_SECONDS = 10.0
_MEMBERS_SECONDS = 3.0
_MOST_SWEEPS = 10
_TREE_ID = "HUSCF_PROCESS_TREE"
_KEEP_ENVIRONMENT = "SPT_NOENV"


class ProcessTree:
    """A process and all its descendants, and other processes started with the same ``environment``.

    Members are recognised by an id in their environment, even if their parent has ended. The environment of
    Flower's SuperExec cannot be read, so descendants of a member are members too.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start without members; ``environment`` is theirs, and the id is added to it."""
        self._id = uuid.uuid4().hex
        self._known: set[psutil.Process] = set()
        # Ray's processes overwrite their environment with a title unless they are told not to.
        self.environment = {**environment, _TREE_ID: self._id, _KEEP_ENVIRONMENT: "1"}

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start ``command`` in a session of its own, with its output in ``log``."""
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._known.add(psutil.Process(process.pid))
        return process

    def running(self) -> set[psutil.Process]:
        """Return the members that are running; a member that was found stays one if its parent ends."""
        self._known.update(each for each in psutil.process_iter() if self._has_id(each))
        for each in tuple(self._known):
            with suppress(psutil.NoSuchProcess):
                self._known.update(each.children(recursive=True))
        self._known = set(filter(_is_running, self._known))
        return set(self._known)

    def kill(self) -> None:
        """Kill all members, repeatedly, since a member may start another one just before it is killed.

        A search can miss a process that starts meanwhile, so two in a row must find none.
        """
        found_none = False
        for _ in range(_MOST_SWEEPS):
            left = self.running()
            if not left and found_none:
                return
            found_none = not left
            for each in left:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(left, _MEMBERS_SECONDS)

    def _has_id(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get(_TREE_ID) == self._id)
        except psutil.Error:
            return False


@contextmanager
def background_process(
    command: Sequence[str], tree: ProcessTree, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command`` in ``tree`` with its output in ``log``; on exit, stop it and the whole tree."""
    process = tree.start(command, log)
    try:
        yield process
    finally:
        _stop(process, tree)


def free_ports(count: int) -> list[int]:
    """Return ports on the loopback interface that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop(process: subprocess.Popen[bytes], tree: ProcessTree) -> None:
    """Ask the group of ``process`` to end, then kill what is left of it and of its ``tree``.

    Flower's SuperExec and Ray's workers have their own sessions, so a signal to the group does not reach
    them, and children of a worker are left behind if the worker ends first. A second Ctrl-C interrupts the
    wait, but not the kill.
    """
    try:
        tree.running()
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LEADER_SECONDS)
            psutil.wait_procs(tree.running(), _MEMBERS_SECONDS)
    finally:
        tree.running()
        _signal_group(process, signal.SIGKILL)
        process.wait()
        tree.kill()


def _is_running(process: psutil.Process) -> bool:
    """Return whether ``process`` is running, and not another one that has reused its number."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
