"""Rounds with random faults: whoever fails must have dropped out, and nobody else."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from huscf_flwr.bench.step import mixed_cuts
from huscf_flwr.config import RunConfig, resolve
from huscf_flwr.models import load_model_spec
from huscf_flwr.soak.client import ANSWER_SECONDS, BATCH_SIZE, MODEL, WIDTH, Order
from huscf_flwr.soak.faults import KINDS, Fault
from huscf_flwr.split import Deadlines, Exchange, LockStep, StepLosses, TooFewClientsError
from huscf_flwr.split.wire import ExecutorServer, StreamClaim
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.files import flatten_blocks, read_tensors, unflatten_blocks, write_tensors
from huscf_flwr.training.method import method_of

_STEPS = 3
_DEADLINES = Deadlines(first_step_s=ANSWER_SECONDS / 2, least_s=3.0, factor=10.0, predicted_step_s=0.0)
_ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Resources:
    """What this process has hold of."""

    megabytes: float
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Resources:
        """Read them; Linux only."""
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only their number counts
            threading.active_count(),
        )


@dataclass
class Books:
    """What happened so far."""

    rounds: int = 0
    given_up: int = 0
    """Rounds with too few clients left."""
    injected: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    wrong: list[str] = field(default_factory=list)
    """Clients that dropped out without a fault, or did not in spite of one."""
    resources: list[Resources] = field(default_factory=list)
    """After each round."""


class ClientProcesses:
    """One process for each client; one that died is started anew for its next order."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[str]] = {}

    def send(self, client: int, order: Order) -> None:
        """Hand an order to a client."""
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
        process.stdin.write(order.to_line())

    def answers(self, clients: Iterator[int], session: LockStep) -> dict[int, dict[str, dict[str, float]]]:
        """Return the answers by client id; who has hung, or does not answer, is killed."""
        found = {}
        for client in clients:
            process = self._processes[client]
            assert process.stdout is not None
            until = time.monotonic() + _ANSWER_SECONDS
            while time.monotonic() < until or not (session.finished or session.failure):
                if select.select([process.stdout], [], [], 0.1)[0]:
                    line = process.stdout.readline()
                    if line:
                        found[client] = json.loads(line)
                    break
                if _is_stopped(process.pid) and client in session.dropped:
                    break
            if client not in found:
                self._end(client)
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


class Soak:
    """A server and its clients, round after round."""

    def __init__(self, clients: int, rate: float, seed: int, folder: Path) -> None:
        """Prepare ``clients`` clients, each of which fails in a round with probability ``rate``."""
        self.books = Books()
        self._chance = random.Random(seed)
        self._rate = rate
        self._folder = folder
        spec = load_model_spec(MODEL, WIDTH)
        config = resolve(
            RunConfig(seed=seed, clients=clients, batch_size=BATCH_SIZE, local_epochs=_STEPS, min_clients=2)
        )
        ids = range(clients)
        self._coordinator = Coordinator(
            config,
            spec,
            samples=dict.fromkeys(ids, BATCH_SIZE),
            cuts=mixed_cuts(spec, clients),
            method=method_of(config),
        )
        self._server = ExecutorServer("127.0.0.1:0")
        self._processes = ClientProcesses()

    def run(self, seconds: float, progress: Callable[[float, Books], None]) -> Books:
        """Train rounds for ``seconds``; ``progress`` is told the seconds so far after each."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self._round()
            self.books.resources.append(Resources.now())
            progress(time.monotonic() - began, self.books)
        return self.books

    def close(self) -> None:
        """End all processes and stop listening."""
        self._processes.close()
        self._server.stop()

    def _round(self) -> None:
        coordinator = self._coordinator
        clients = sorted(coordinator.samples)
        faults = {client: self._fault() for client in clients if self._chance.random() < self._rate}
        self.books.injected.update(fault.kind for fault in faults.values())
        self._write_blocks(clients)
        session = coordinator.open_round([[client] for client in clients], patience=_DEADLINES)
        claims = [StreamClaim(round=coordinator.round, node=client, clients=(client,)) for client in clients]
        tokens = self._server.open_session(session, claims, lifetime=_DEADLINES.first_step_s)
        for client, token, claim in zip(clients, tokens, claims, strict=True):
            self._processes.send(
                client,
                Order(
                    self._server.address,
                    token,
                    claim,
                    coordinator.cuts[client],
                    coordinator.steps,
                    self._blocks_file(client),
                    faults.get(client),
                ),
            )
        answers = self._processes.answers(iter(clients), session)
        self._close_round(session, answers, faults)

    def _close_round(
        self,
        session: LockStep,
        answers: Mapping[int, Mapping[str, Mapping[str, float]]],
        faults: Mapping[int, Fault],
    ) -> None:
        coordinator, books = self._coordinator, self.books
        losses = {client: StepLosses(**of["losses"]) for client, of in answers.items() if "losses" in of}
        if session.failure is not None:
            if not isinstance(session.failure, TooFewClientsError):
                raise session.failure
            coordinator.give_up_round()
            books.given_up += 1
            return
        for client in coordinator.samples:
            should, did = client in faults and faults[client].is_fatal, client not in losses
            if should != did or (client in session.dropped) != did:
                books.wrong.append(
                    f"round {coordinator.round}, client {client}: fault {faults.get(client)}, "
                    f"dropped {session.dropped.get(client)}, answer {answers.get(client)}"
                )
        blocks = {client: unflatten_blocks(read_tensors(self._blocks_file(client))) for client in losses}
        coordinator.close_round(blocks, losses)
        books.rounds += 1

    def _fault(self) -> Fault:
        kind = self._chance.choice(KINDS)
        when = self._chance.choice(["before", "during", "after"]) if kind == "kill" else "before"
        # In the last step a fault after the last exchange would come too late to cost anything.
        step = self._chance.randint(1, _STEPS - 1)
        return Fault(kind, self._chance.choice(list(Exchange)), when, step)

    def _write_blocks(self, clients: list[int]) -> None:
        for client in clients:
            (blocks,) = self._coordinator.blocks_for([client]).values()
            write_tensors(self._blocks_file(client), flatten_blocks(blocks))

    def _blocks_file(self, client: int) -> Path:
        return self._folder / f"client-{client}.safetensors"


@contextmanager
def soak(clients: int, rate: float, seed: int, folder: Path) -> Iterator[Soak]:
    """Prepare a soak, and end all that it started."""
    prepared = Soak(clients, rate, seed, folder)
    try:
        yield prepared
    finally:
        prepared.close()


def _is_stopped(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text("ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in ("T", "t")
