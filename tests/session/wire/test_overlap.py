"""While one client of a host computes, what the others send and receive is on its way over a network."""

import threading

import pytest

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import run_steps
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.session.wire import server as executors_end
from huscf_flwr.split import DISCRIMINATE, EXCHANGES, GENERATE, HostedClient
from tests.models.specs import small_specs
from tests.session.threads import PATIENCE, errors_of
from tests.split.builders import build, open_session, random_batch

SPEC = small_specs()["three-blocks"]
CUT = legal_cuts(SPEC)[0]


class Hosted:
    """Two clients of one host over gRPC, and the executor's end."""

    def __init__(self, share_memory):
        executor, self.clients = build(SPEC, {0: CUT, 1: CUT})
        self.session = open_session(executor, [[0, 1]], largest_batch=2)
        self._share_memory = share_memory

    def run(self):
        """Train a step to its end: a thread that waits in vain fails the test."""
        server = ExecutorServer("127.0.0.1:0")
        (token,) = server.open_session(self.session, share_memory=[0] if self._share_memory else [])
        members = [HostedClient(client, lambda: random_batch(SPEC, 2, 0)) for client in self.clients]

        def train():
            with GrpcChannel(
                server.address, token, share_memory=self._share_memory, exchanges=EXCHANGES
            ) as channel:
                run_steps(members, channel, 1)

        assert errors_of(train) == [None]
        server.stop()
        assert self.session.finished


@pytest.fixture
def hosted():
    return Hosted(share_memory=False)


def test_by_shared_memory_nothing_is_sent_before_all_have_computed(monkeypatch):
    log = []

    class Reader(executors_end.FrameReader):
        def add(self, packet):
            received = super().add(packet)
            log.append(("arrives", received[1]))
            return received

    monkeypatch.setattr(executors_end, "FrameReader", Reader)
    hosted = Hosted(share_memory=True)
    for client in hosted.clients:

        def logged(batch, watch, client=client.client, step=client.step):
            log.append(("begins", client))
            return (yield from step(batch, watch))

        client.step = logged
    hosted.run()
    assert log[:4] == [("begins", 0), ("begins", 1), ("arrives", 0), ("arrives", 1)]
    assert [who for what, who in log if what == "arrives"] == [0, 1] * len(EXCHANGES)


def test_a_frame_is_there_before_the_next_client_has_computed_its_own(hosted, monkeypatch):
    there = threading.Event()

    class Reader(executors_end.FrameReader):
        def add(self, packet):
            received = super().add(packet)
            if received is not None and received[1] == 0:
                there.set()
            return received

    monkeypatch.setattr(executors_end, "FrameReader", Reader)
    step = hosted.clients[1].step

    def waiting(batch, watch):
        assert there.wait(PATIENCE)
        return (yield from step(batch, watch))

    hosted.clients[1].step = waiting
    hosted.run()


def test_an_answer_has_been_worked_on_and_replied_to_before_the_next_is_sent(hosted, monkeypatch):
    replied = threading.Event()
    encode_frame, read_ahead = executors_end.encode_frame, executors_end.read_ahead

    def watched(incoming):
        for packet in incoming:
            if packet.frame.exchange == DISCRIMINATE.number:
                replied.set()
            yield packet

    def encoding(exchange, client, *rest):
        if (exchange, client) == (GENERATE, 1):
            assert replied.wait(PATIENCE)
        return encode_frame(exchange, client, *rest)

    monkeypatch.setattr(
        executors_end, "read_ahead", lambda incoming, most: read_ahead(watched(incoming), most)
    )
    monkeypatch.setattr(executors_end, "encode_frame", encoding)
    hosted.run()
