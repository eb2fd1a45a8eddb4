"""Rounds with random faults: the clients that fail must drop out, and no others."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from huscf_flwr.bench.mixed_cuts import MixedCuts
from huscf_flwr.config import ModelSection, RunConfig
from huscf_flwr.cuts import deal_devices
from huscf_flwr.methods import resolved
from huscf_flwr.methods.contract import Description, Upload
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.crossing import SEGMENTS, HuSCFOrder
from huscf_flwr.models import Cut
from huscf_flwr.run.rounds import OpenRound, Rounds
from huscf_flwr.session import Deadlines, LockStep, TooFewClientsError
from huscf_flwr.session.wire import ExecutorServer, StreamClaim
from huscf_flwr.soak.client import ANSWER_SECONDS, BATCH_SIZE, MODEL, WIDTH, SoakRound
from huscf_flwr.soak.faults import KINDS, Fault
from huscf_flwr.soak.processes import Answers, ClientProcesses
from huscf_flwr.soak.resources import Resources
from huscf_flwr.split import EXCHANGES
from huscf_flwr.tensor_files import read_tensors, write_tensors

_STEPS = 3
_FAR_AWAY = ANSWER_SECONDS / 2
"""Seconds in which even a busy machine sends a frame, and less than a client waits for the others."""


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


class Soak:
    """A server and its clients, round after round."""

    def __init__(self, clients: int, rate: float, seed: int, folder: Path) -> None:
        """Prepare ``clients`` clients, each of which fails in a round with probability ``rate``."""
        self.books = Books()
        self._chance = random.Random(seed)
        self._rate = rate
        self._folder = folder
        config = _config(clients, seed)
        descriptions = {
            client: Description(samples=BATCH_SIZE, device=device)
            for client, device in deal_devices(config).items()
        }
        self._clients = sorted(descriptions)
        self._rounds = Rounds(config, HuSCF(config, descriptions, cut_solver=MixedCuts()))
        self._server = ExecutorServer("127.0.0.1:0")
        self._processes = ClientProcesses()

    def run(self, seconds: float, progress: Callable[[float, Books], None]) -> Books:
        """Train rounds for ``seconds``; ``progress`` is called after each with the seconds so far."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self.round()
            progress(time.monotonic() - began, self.books)
        return self.books

    def round(self) -> None:
        """Train one round with faults, and write it into the books."""
        faults = {client: self._fault() for client in self._clients if self._chance.random() < self._rate}
        self.books.injected.update(fault.kind for fault in faults.values())
        opened = self._rounds.open(
            [[client] for client in self._clients], patience=Deadlines(_FAR_AWAY, _FAR_AWAY, 0.0, 0.0)
        )
        session = opened.session
        assert isinstance(session, LockStep)
        self._send_orders(opened, session, faults)
        answers = self._processes.answers(session)
        self._close(opened, session, answers, faults)
        self.books.resources.append(Resources.now())

    def close(self) -> None:
        """End all processes and stop listening."""
        self._processes.close()
        self._server.stop()

    def _fault(self) -> Fault:
        kind = self._chance.choice(KINDS)
        when = self._chance.choice(["before", "during", "after"]) if kind == "kill" else "before"
        # In the last step a fault after the last exchange would come too late to cost anything.
        step = self._chance.randint(1, _STEPS - 1)
        return Fault(kind, self._chance.choice(EXCHANGES), when, step)

    def _send_orders(self, opened: OpenRound, session: LockStep, faults: Mapping[int, Fault]) -> None:
        claims = {
            client: StreamClaim(round=opened.number, node=client, clients=(client,))
            for client in self._clients
        }
        tokens = self._server.open_session(session, list(claims.values()), lifetime=_FAR_AWAY)
        for token, (client, claim) in zip(tokens, claims.items(), strict=True):
            order, blocks = opened.orders.of(client), self._blocks_file(client)
            assert isinstance(order.facts, HuSCFOrder)
            write_tensors(blocks, order.tensors[SEGMENTS])
            told = SoakRound(
                self._server.address,
                token,
                claim,
                Cut(*order.facts.cut),
                opened.steps,
                blocks,
                faults.get(client),
            )
            self._processes.send(client, told)

    def _close(
        self, opened: OpenRound, session: LockStep, answers: Answers, faults: Mapping[int, Fault]
    ) -> None:
        if session.failure is not None:
            if not isinstance(session.failure, TooFewClientsError):
                raise session.failure
            self._rounds.take_back()
            self.books.given_up += 1
            return
        uploads = {
            client: Upload(
                tensors={SEGMENTS: read_tensors(self._blocks_file(client))}, losses=answer["losses"]
            )
            for client, answer in answers.items()
            if "losses" in answer
        }
        for client in self._clients:
            should, did = client in faults and faults[client].is_fatal, client not in uploads
            if should != did or (client in session.dropped) != did:
                self.books.wrong.append(
                    f"round {opened.number}, client {client}: fault {faults.get(client)}, "
                    f"dropped {session.dropped.get(client)}, answer {answers.get(client)}"
                )
        self._rounds.close({k: self._rounds.read_upload(k, upload) for k, upload in uploads.items()})
        self.books.rounds += 1

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


def _config(clients: int, seed: int) -> RunConfig:
    return resolved(
        RunConfig(
            seed=seed,
            clients=clients,
            batch_size=BATCH_SIZE,
            local_epochs=_STEPS,
            min_clients=2,
            model=ModelSection(spec=MODEL, width=WIDTH),
        )
    )
