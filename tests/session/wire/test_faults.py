"""What a failing client costs: itself the round, and nobody else anything. Each row is a real process."""

import math
import os
import signal
import threading
from itertools import product

import pytest
import torch

from huscf_flwr.session import wire_type
from huscf_flwr.session.wire import ExecutorServer
from huscf_flwr.soak.faults import MALFORMED, Fault
from huscf_flwr.split import (
    CRITICISE,
    CRITICISM_BACKWARD,
    DISCRIMINATE,
    EXCHANGES,
    GENERATE,
    GENERATOR_BACKWARD,
)
from tests.quick import mostly_slow
from tests.session.threads import PATIENCE, errors_of
from tests.session.wire.client_process import (
    CUTS,
    FAULTY,
    PROCESSES,
    SPEC,
    STEPS,
    batch_of,
    train,
)
from tests.split.builders import build, open_session
from tests.split.unsplit import UnsplitStep, differences

OTHERS = [client for client in CUTS if client != FAULTY]
DEADLINE, NEVER = 2.0, 3600.0


@pytest.fixture(scope="module")
def server():
    """One executor for all rows: that it serves the next is what shows that it survived the last."""
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("split-")]


class MissedTime:
    """The time of a session: it passes only while nobody is missing but a client that is to hang."""

    def __init__(self, fault):
        self._fault = fault
        self.session = None

    def __call__(self):
        return NEVER if self._fault.kind == "hang" and self._is_missed() else 0.0

    def _is_missed(self):
        session, fault = self.session, self._fault
        if session is None or session.finished_steps != fault.step - 1:
            return False
        return session._turn.due == fault.exchange and session._missing() == [FAULTY]


def weights_after(server, fault, wire=None):
    """Train three steps; return the executor, all clients and the session."""
    executor, clients = build(SPEC, CUTS)
    oracle = UnsplitStep(executor, clients)
    hosts = [[client] for client in CUTS]
    clock = MissedTime(fault)
    settings = {"steps": STEPS, "largest_batch": 8, "patience": DEADLINE, "clock": clock, "wire": wire}
    session = clock.session = open_session(executor, hosts, **settings)
    tokens = server.open_session(session)
    faulty = PROCESSES.Process(target=train, args=(server.address, tokens[FAULTY], FAULTY, fault, None, wire))
    faulty.start()
    healthy = {}

    def run(client):
        healthy[client] = train(server.address, tokens[client], client, member=clients[client], wire=wire)

    errors = errors_of(*(lambda client=client: run(client) for client in OTHERS), patience=4 * PATIENCE)
    if fault.kind == "hang":
        os.kill(faulty.pid, signal.SIGKILL)
    faulty.join(PATIENCE)
    assert errors == [None] * len(OTHERS)
    assert faulty.exitcode is not None
    assert session.finished
    assert session.failure is None
    assert {client for client, trained in healthy.items() if trained.losses} == set(OTHERS)
    return executor, clients, session, oracle


def steps_of_the_oracle(oracle, gone):
    """Let the oracle make the same steps, the faulty client gone from (step, exchange) on, if at all."""
    for step in range(STEPS):
        present = [client for client in CUTS if client != FAULTY or gone is None or step + 1 <= gone[0]]
        batches = {client: batch_of(client, step) for client in present}
        last = {FAULTY: gone[1].number} if gone is not None and step + 1 == gone[0] else None
        oracle.step(batches, gone=last)


def check(server, fault, gone, reason):
    executor, clients, session, oracle = weights_after(server, fault)
    dropped = session.dropped
    if gone is None:
        assert dropped == {}
    else:
        assert set(dropped) == {FAULTY}
        assert (dropped[FAULTY].step, dropped[FAULTY].exchange) == (gone[0], gone[1].name)
        assert reason in dropped[FAULTY].reason
    steps_of_the_oracle(oracle, gone)
    assert differences(executor, [clients[client] for client in OTHERS], oracle) == {}


def following(exchange):
    """Step and exchange that come after an exchange of the second step."""
    return (3, GENERATE) if exchange is GENERATOR_BACKWARD else (2, EXCHANGES[exchange.number])


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_client_that_is_killed(server, exchange, when):
    gone = following(exchange) if when == "after" else (2, exchange)
    check(server, Fault("kill", exchange, when), gone, "left after")


@pytest.mark.parametrize("exchange", [GENERATE, CRITICISM_BACKWARD])
def test_a_client_that_stops_answering(server, exchange):
    check(server, Fault("hang", exchange), (2, exchange), f"did not come to {exchange.name} within 2 s")


def test_a_link_that_delays(server):
    check(server, Fault("delay", DISCRIMINATE), None, "")


@pytest.mark.parametrize("exchange", [DISCRIMINATE, GENERATOR_BACKWARD])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", "a frame begins before the last one is complete"),
        ("reordered", "numbers came without a frame"),
        ("oversized", "bytes are not due"),
        ("wrong shape", "shape ("),
        ("wrong type", "torch.float32, expected torch.float64"),
        ("not finite", "numbers that are not finite"),
        ("infinite", "numbers that are not finite"),
        ("far too large", "numbers that are not finite or far too large"),
        ("wrong exchange", "is due"),
        ("another client", "host 1 sent client 2"),
        ("noise", "numbers came without a frame"),
    ],
)
def test_a_frame_that_is_malformed(server, exchange, kind, reason):
    check(server, Fault(kind, exchange), (2, exchange), reason)


@pytest.mark.parametrize(
    ("kind", "exchange"),
    mostly_slow(
        product(["not finite", "infinite", "far too large"], [DISCRIMINATE, GENERATOR_BACKWARD]),
        ("infinite", DISCRIMINATE),
        ("far too large", GENERATOR_BACKWARD),
    ),
)
def test_a_frame_that_is_packed_with_hostile_scales(server, kind, exchange):
    """It drops out as if its numbers were in the frame; activations are rounded, gradients rotated."""
    wire = wire_type("smallest", torch.float64)
    fault = Fault(kind, exchange)
    executor, clients, session, _ = weights_after(server, fault, wire)
    shape = executor.shape(exchange.up[0], FAULTY)
    form = wire.form(exchange.up[0], len(batch_of(FAULTY, 0).labels) * math.prod(shape))
    assert form.bits < 16
    assert set(session.dropped) == {FAULTY}
    dropped = session.dropped[FAULTY]
    assert (dropped.step, dropped.exchange) == (2, exchange.name)
    assert "numbers that are not finite or far too large" in dropped.reason
    for segments in (executor.segments, *(clients[client].segments for client in OTHERS)):
        assert all(each.isfinite().all() for state in segments.states().values() for each in state.values())


def test_a_frame_that_comes_twice(server):
    """The first is a frame; the second is one of an exchange that is over."""
    check(server, Fault("duplicate", CRITICISE), following(CRITICISE), "is due")


def test_all_malformed_frames_are_tried():
    assert len(MALFORMED) == 12
