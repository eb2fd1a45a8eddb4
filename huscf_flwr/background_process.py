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
_FAMILY = "HUSCF_FAMILY"
"""Variable of the environment by which a process and all that it starts are known, orphans too."""


@contextmanager
def background_process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command`` with its output in ``log``; at the end stop it and all that it started."""
    name = uuid.uuid4().hex
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env={**environment, _FAMILY: name},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop_family(process, name)


def free_ports(count: int) -> list[int]:
    """Return ports on the loopback interface that nobody listened at a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop_family(process: subprocess.Popen[bytes], name: str) -> None:
    """Ask the group of ``process`` to end, then kill what is left of it and of the family ``name``.

    Again and again, since one that is about to be killed may have just started another.

    Flower's SuperExec and Ray's workers have sessions of their own, which no signal to the group reaches, and
    what a worker started stays behind when the worker ends first.
    """
    family = _family(process, name)
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LEADER_SECONDS)
    psutil.wait_procs(family | _family(process, name), _FAMILY_SECONDS)
    _signal_group(process, signal.SIGKILL)
    process.wait()
    for _ in range(_SWEEPS):
        left = _family(process, name)
        if not left:
            return
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, _FAMILY_SECONDS)


def _family(process: subprocess.Popen[bytes], name: str) -> set[psutil.Process]:
    """Return the descendants of ``process`` and all whose environment has the ``name``, but not itself."""
    found = {each for each in psutil.process_iter() if _is_called(each, name)}
    with suppress(psutil.NoSuchProcess):
        found.update(psutil.Process(process.pid).children(recursive=True))
    return {each for each in found if each.pid != process.pid}


def _is_called(process: psutil.Process, name: str) -> bool:
    try:
        return bool(process.environ().get(_FAMILY) == name)
    except psutil.Error:
        return False


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
