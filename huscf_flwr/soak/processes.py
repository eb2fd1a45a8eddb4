"""The processes of a soak's clients: started, told what to do, waited for and ended."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from huscf_flwr.session import LockStep
from huscf_flwr.soak.client import SoakRound

_LOOK_SECONDS = 0.1

Answers = Mapping[int, Mapping[str, Any]]
"""By client id; one that has died or hangs has none."""


class ClientProcesses:
    """One process for each client; one that has ended is started again for its next round."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[str]] = {}

    def send(self, client: int, given: SoakRound) -> None:
        """Hand a round to a client."""
        process = self._processes.get(client)
        if process is None or process.poll() is not None:
            self._end(client)
            process = self._processes[client] = subprocess.Popen(
                [sys.executable, "-m", "huscf_flwr.soak.client"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
        assert process.stdin is not None
        process.stdin.write(given.to_line())

    def answers(self, session: LockStep) -> Answers:
        """Wait until every client has answered, died or hangs, and the session is over; return the answers.

        No deadline tells a client that hangs from one on a slow machine, so its process is looked at: once it
        is stopped, it leaves the session, and is killed.
        """
        found: dict[int, Mapping[str, Any]] = {}
        waiting = dict(self._processes)
        while waiting:
            ready, _, _ = select.select(list(map(_output, waiting.values())), [], [], _LOOK_SECONDS)
            for client, process in list(waiting.items()):
                if _output(process) in ready:
                    if line := _output(process).readline():
                        found[client] = json.loads(line)
                elif _is_stopped(process.pid):
                    session.leave(session.hosts.index((client,)), "its process is stopped")
                    self._end(client)
                else:
                    continue
                del waiting[client]
            session.give_up_late()
        while not (session.finished or session.failure):
            time.sleep(_LOOK_SECONDS)
            session.give_up_late()
        return found

    def close(self) -> None:
        """End all processes."""
        for client in list(self._processes):
            self._end(client)

    def _end(self, client: int) -> None:
        process = self._processes.pop(client, None)
        if process is not None:
            process.kill()
            process.communicate()


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _is_stopped(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text("ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in ("T", "t")
