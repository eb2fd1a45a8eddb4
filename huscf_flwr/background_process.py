"""Processes that run beside this one, and end with it and with all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_LEADER_SECONDS = 10.0
_FAMILY_SECONDS = 3.0


@contextmanager
def background_process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command`` with its output in ``log``; at the end stop it and all that it started."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        _stop_family(process)


def free_ports(count: int) -> list[int]:
    """Return ports on the loopback interface that nobody listened at a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop_family(process: subprocess.Popen[bytes]) -> None:
    """Ask the group of ``process`` to end, then kill whatever is left of it and of its descendants.

    Flower's SuperExec and Ray's workers have sessions of their own, which no signal to the group reaches.
    """
    family = _descendants(process)
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LEADER_SECONDS)
    _, left = psutil.wait_procs(family, _FAMILY_SECONDS)
    _signal_group(process, signal.SIGKILL)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    psutil.wait_procs(left, _FAMILY_SECONDS)


def _descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
