"""Processes that run beside this one, and end with it and with all that they started."""

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
_FAMILY_SECONDS = 3.0
_SWEEPS = 10
_NAME = "HUSCF_FAMILY"
_KEEPS_ENVIRONMENT = "SPT_NOENV"


class Family:
    """A process with all that it starts, and all that others start with the same ``environment``.

    They are known by a name in their environment, orphans too; or because they were seen below one that is
    known, since Flower's SuperExec lets nobody read its environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """``environment`` is that of its processes, but for what makes them known."""
        self._name = uuid.uuid4().hex
        self._known: set[psutil.Process] = set()
        # Ray's processes write their titles over their environment, unless they are told not to.
        self.environment = {**environment, _NAME: self._name, _KEEPS_ENVIRONMENT: "1"}

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

    def look(self) -> set[psutil.Process]:
        """Return who is alive; who was seen once stays known, whatever becomes of those above it."""
        self._known.update(each for each in psutil.process_iter() if self._is_named(each))
        for each in tuple(self._known):
            with suppress(psutil.NoSuchProcess):
                self._known.update(each.children(recursive=True))
        self._known = set(filter(_is_alive, self._known))
        return set(self._known)

    def kill(self) -> None:
        """Kill all, again and again, since one that is about to be killed may have just started another.

        One look may miss who is started while it lasts: it takes two in a row that find nobody.
        """
        found_nobody = False
        for _ in range(_SWEEPS):
            left = self.look()
            if not left and found_nobody:
                return
            found_nobody = not left
            for each in left:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(left, _FAMILY_SECONDS)

    def _is_named(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get(_NAME) == self._name)
        except psutil.Error:
            return False


@contextmanager
def background_process(
    command: Sequence[str], family: Family, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command`` with its output in ``log``; at the end stop it and all its ``family``."""
    process = family.start(command, log)
    try:
        yield process
    finally:
        _stop(process, family)


def free_ports(count: int) -> list[int]:
    """Return ports on the loopback interface that nobody listened at a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop(process: subprocess.Popen[bytes], family: Family) -> None:
    """Ask the group of ``process`` to end, then kill what is left of it and of its ``family``.

    Flower's SuperExec and Ray's workers have sessions of their own, which no signal to the group reaches, and
    what a worker started stays behind when the worker ends first. A second Ctrl-C cuts the asking short, but
    not the killing.
    """
    try:
        family.look()
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LEADER_SECONDS)
            psutil.wait_procs(family.look(), _FAMILY_SECONDS)
    finally:
        family.look()
        _signal_group(process, signal.SIGKILL)
        process.wait()
        family.kill()


def _is_alive(process: psutil.Process) -> bool:
    """Return whether it runs, and is no other one that has got its number since."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
