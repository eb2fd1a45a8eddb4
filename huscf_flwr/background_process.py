"""Processes that run beside this one, and end with it and with all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
"""What a group of processes is sent, and how many seconds its leader has to end."""


@contextmanager
def background_process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command`` with its output in ``log``; at the end stop it and its whole process group."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        _stop_group(process)


def free_ports(count: int) -> list[int]:
    """Return ports on the loopback interface that nobody listened at a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for number, patience in _PATIENCE:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
