"""What every lock-step method can rely on, shown with one that has nothing in common with HuSCF-GAN."""

import re

import pytest
import torch

from huscf_flwr.session import (
    Computed,
    DropOut,
    DroppedClient,
    Exchange,
    Kind,
    Ledger,
    LocalChannel,
    SessionError,
    WireType,
    run_steps,
    wire_type,
)
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.soak.faults import MALFORMED, Fault, FaultyChannel
from tests.session.threads import PATIENCE, errors_of
from tests.session.two_exchanges import (
    CLASSES,
    DRAW,
    GRADIENT,
    JUDGE,
    VOTES,
    WIDTH,
    Painter,
    build_painter,
    tensors_of,
    without_a_session,
)
from tests.split.builders import exchanged, open_session

CLIENTS = (0, 1, 2)
STEPS = 4
CHANNELS = ["local", "grpc", "shared-memory"]


class Hosts:
    """Hosts that train side by side over one kind of channel."""

    def __init__(self, kind, session, wire=None):
        self._kind, self._session, self._wire = kind, session, wire
        self._server = None if kind == "local" else ExecutorServer("127.0.0.1:0")

    def train(self, members, steps, wrap=lambda channel: channel):
        """Return what each host was told; raises what none of them should."""
        told = {}
        tokens = [None] * len(self._session.hosts)
        if self._server is not None:
            shared = range(len(tokens)) if self._kind == "shared-memory" else ()
            tokens = self._server.open_session(self._session, share_memory=shared)

        def run(host):
            own = [members[client] for client in self._session.hosts[host]]
            if self._server is None:
                told[host] = run_steps(own, wrap(LocalChannel(self._session, host)), steps)
                return
            with GrpcChannel(
                self._server.address,
                tokens[host],
                exchanges=self._session.exchanges,
                wire=self._wire,
                patience=2 * PATIENCE,
                share_memory=self._kind == "shared-memory",
            ) as channel:
                told[host] = run_steps(own, wrap(channel), steps)

        errors = errors_of(*(lambda host=host: run(host) for host in range(len(tokens))))
        if self._server is not None:
            self._server.stop()
        assert [error for error in errors if not isinstance(error, SessionError | None)] == []
        return told


def trained(hosts, channel, wire=None, wrap=lambda channel: channel):
    """Train with the clients spread over ``hosts``; return all tensors, the ledger and the session."""
    painter, critics = build_painter(CLIENTS)
    ledger = Ledger()
    session = open_session(
        painter, hosts, steps=STEPS, ledger=ledger, wire=wire, largest_batch=len(CLIENTS) + 1
    )
    told = Hosts(channel, session, wire).train(critics, STEPS, wrap)
    return tensors_of(painter, critics), ledger, session, told


def assert_near(tensors, others):
    for tensor, other in zip(tensors, others, strict=True):
        torch.testing.assert_close(tensor, other, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def reference():
    return trained([[0, 1, 2]], "local")


def test_with_a_session_and_without_clients_and_server_learn_the_same(reference):
    painter, critics = build_painter(CLIENTS)
    before = [tensor.clone() for tensor in tensors_of(painter, critics)]
    without_a_session(painter, critics, STEPS)
    assert_near(reference[0], tensors_of(painter, critics))
    assert not any(torch.equal(one, two) for one, two in zip(reference[0], before, strict=True))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("hosts", [[[0, 1, 2]], [[2, 0, 1]], [[0], [1, 2]], [[2], [1], [0]]])
def test_the_same_to_the_bit_on_any_hosts_and_channel(reference, hosts, channel):
    tensors, ledger, session, told = trained(hosts, channel)
    assert session.finished
    assert all(torch.equal(one, two) for one, two in zip(tensors, reference[0], strict=True))
    assert ledger.entries == reference[1].entries
    losses = {client: losses for one in told.values() for client, losses in one.losses.items()}
    assert losses == reference[3][0].losses
    assert all(set(of_client) == {"fit", "own"} for of_client in losses.values())


def test_all_that_crosses_is_counted_and_integers_are_eight_bytes(reference):
    for wire, size in ((None, 8), (WireType(torch.float16, torch.float64), 2)):
        ledger = reference[1] if wire is None else trained([[0], [1, 2]], "grpc", wire)[1]
        for client in CLIENTS:
            samples = STEPS * (client + 2)
            assert {key[1:]: count for key, count in ledger.entries.items() if key[0] == client} == {
                ("down", "samples"): size * WIDTH * samples,
                ("down", "labels"): 8 * samples,
                ("up", "gradient of samples"): size * WIDTH * samples,
                ("up", "votes"): 8 * samples,
            }


def test_a_narrower_wire_rounds_numbers_alike_on_every_channel_and_integers_not_at_all(reference):
    wire = WireType(torch.float16, torch.float64)
    local, remote, shared = (trained([[0, 2], [1]], channel, wire)[0] for channel in CHANNELS)
    for others in (remote, shared):
        assert all(torch.equal(one, two) for one, two in zip(local, others, strict=True))
    assert not torch.equal(local[0], reference[0][0])


def test_packed_numbers_are_the_same_to_the_bit_on_every_channel(reference):
    """All samples fill a group, and of the gradients those of client 2."""
    wire = wire_type("smallest", torch.float64, seed=3, round_number=2)
    (local, counted, *_), *others = (trained([[0, 2], [1]], channel, wire) for channel in CHANNELS)
    for tensors, ledger, *_ in others:
        assert all(torch.equal(one, two) for one, two in zip(local, tensors, strict=True))
        assert ledger.entries == counted.entries
    assert not torch.equal(local[0], reference[0][0])
    assert counted.total(client=2) < reference[1].total(client=2) / 10


class Leaves:
    """A channel whose client 1 drops out of the second step, in ``exchange``."""

    def __init__(self, channel, session, exchange):
        self._channel, self._session, self._exchange = channel, session, exchange
        self.exchanges, self.receive = channel.exchanges, channel.receive

    def send(self, exchange, client, parcel):
        leaves = client == 1 and self._session.finished_steps == 1 and exchange == self._exchange
        self._channel.send(exchange, client, DropOut("gone") if leaves else parcel)


@pytest.mark.parametrize("exchange", Painter.exchanges)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("hosts", [[[0, 1, 2]], [[0], [1], [2]]])
def test_the_others_learn_as_if_what_is_missing_had_never_been_there(exchange, channel, hosts):
    painter, critics = build_painter(CLIENTS)
    session = open_session(painter, hosts, steps=STEPS, largest_batch=9)
    told = Hosts(channel, session).train(critics, STEPS, lambda one: Leaves(one, session, exchange))
    assert session.finished
    assert session.dropped == {1: DroppedClient(2, exchange.name, "gone")}
    assert {client for one in told.values() for client in one.losses} == {0, 2}
    oracle, others = build_painter(CLIENTS)
    without_a_session(oracle, others, STEPS, gone={1: (2, exchange.number)})
    del critics[1], others[1]
    assert_near(tensors_of(painter, critics), tensors_of(oracle, others))


@pytest.mark.parametrize("kind", sorted(MALFORMED))
def test_a_malformed_frame_costs_its_sender_the_session_and_the_others_nothing(kind):
    painter, critics = build_painter(CLIENTS)
    session = open_session(painter, [[client] for client in CLIENTS], steps=STEPS, largest_batch=9)

    def wrap(channel):
        one = FaultyChannel(channel, Fault(kind, JUDGE))
        return one if next(faulty) else channel

    faulty = iter([True, False, False])
    Hosts("grpc", session).train(critics, STEPS, wrap)
    assert session.finished
    ((client, dropped),) = session.dropped.items()
    # The first frame of two is what it should be: that of the step is there.
    following = kind == "duplicate"
    assert (dropped.step, dropped.exchange) == ((3, "DRAW") if following else (2, "JUDGE"))
    oracle, others = build_painter(CLIENTS)
    without_a_session(oracle, others, STEPS, gone={client: (dropped.step, 1 if following else 2)})
    del critics[client], others[client]
    assert_near(tensors_of(painter, critics), tensors_of(oracle, others))


def gradients(client=0, dtype=torch.float64):
    return torch.zeros(client + 2, WIDTH, dtype=dtype)


def votes(client=0, vote=0):
    return torch.full((client + 2,), vote)


def in_judge(session):
    """Bring clients 0 and 1 to the second exchange."""
    session.exchange(0, DRAW, {0: (), 1: ()})
    return session


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            (gradients(1), votes(1, CLASSES)),
            "numbers that are not finite or far too large, or integers out of range",
        ),
        (
            (gradients(1), votes(1, -1)),
            "numbers that are not finite or far too large, or integers out of range",
        ),
        ((gradients(1), votes(1).double()), "votes up: torch.float64, expected torch.int64"),
        ((gradients(1).long(), votes(1)), "gradient of samples up: torch.int64, expected torch.float64"),
        ((gradients(1) / 0, votes(1)), "JUDGE up: numbers that are not finite"),
        ((gradients(0), votes(0)), r"gradient of samples up: shape \(2, 64\), expected \(3, 64\)"),
        ((gradients(1),), "JUDGE up: 1 tensors, expected 2"),
        ((), "JUDGE up: 0 tensors, expected 2"),
    ],
)
def test_a_frame_that_fails_costs_its_client_the_session(frame, message):
    """As many samples are due as came down: nothing went up before from which the number could be known."""
    painter, _ = build_painter([0, 1])
    session = in_judge(open_session(painter, [[0, 1]]))
    received = session.exchange(0, JUDGE, {0: (gradients(), votes()), 1: frame})
    assert received[0] == ()
    assert re.search(message, received[1].reason)
    assert session.finished
    assert painter.votes.tolist() == [2, 0, 0]


def test_a_frame_where_nothing_is_due_costs_its_client_the_session():
    painter, _ = build_painter([0, 1])
    session = open_session(painter, [[0, 1]])
    received = session.exchange(0, DRAW, {0: (), 1: (gradients(1),)})
    assert received[1] == DropOut("client 1, DRAW up: 1 tensors, expected 0")
    assert len(received[0]) == 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ((gradients(), votes().double()), "votes up: torch.float64, expected torch.int64"),
        ((votes(), votes()), "gradient of samples up: torch.int64, expected floating-point numbers"),
        ((gradients(), votes(), votes()), "JUDGE up: 3 tensors, expected 2"),
    ],
)
def test_a_host_sends_nothing_that_the_exchange_does_not_list(frame, message):
    painter, _ = build_painter([0])
    session = open_session(painter, [[0]])
    server = ExecutorServer("127.0.0.1:0")
    (token,) = server.open_session(session)
    with GrpcChannel(server.address, token, exchanges=Painter.exchanges) as channel:
        exchanged(channel, DRAW, {0: ()})
        with pytest.raises(ValueError, match=message):
            channel.send(JUDGE, 0, frame)
    server.stop()
    assert painter.votes.sum() == 0


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, r"no answer for clients \[0\] in DRAW"),
        ({0: ()}, "client 0, DRAW down: 0 tensors, expected 2"),
        ({0: (gradients().float(), votes())}, "samples down: torch.float32, expected torch.float64"),
        ({0: (gradients(), votes().int())}, "labels down: torch.int32, expected torch.int64"),
        ({0: (gradients(), votes(1))}, r"labels down: shape \(3,\), expected \(2,\)"),
        ({0: (gradients() / 0, votes())}, "the executor's numbers are not finite any more"),
        (None, "the executor's step has fewer exchanges than it declares"),
    ],
)
def test_an_executor_that_answers_what_is_not_listed_ends_the_session(answers, message):
    painter, _ = build_painter([0])

    def step(number):
        yield {}
        if answers is not None:
            yield answers

    painter.step = step
    session = open_session(painter, [[0]])
    with pytest.raises(SessionError, match=message):
        session.exchange(0, DRAW, {0: ()})
    assert re.search(message, str(session.failure))


def stepping(step):
    """A session of one step with an executor that has nothing to send but is asked twice."""
    painter, _ = build_painter([0])
    painter.step = step
    return open_session(painter, [[0]])


def test_what_an_executor_does_after_its_last_answer_belongs_to_the_step():
    done = []

    def step(number):
        yield {}
        yield {0: (gradients(), votes())}
        yield {0: ()}
        done.append(number)

    session = stepping(step)
    session.exchange(0, DRAW, {0: ()})
    assert done == []
    session.exchange(0, JUDGE, {0: (gradients(), votes())})
    assert done == [1]


def test_an_executor_with_more_exchanges_than_it_declares_ends_the_session():
    def step(number):
        yield {}
        yield {0: (gradients(), votes())}
        yield {0: ()}
        yield {0: ()}

    session = stepping(step)
    session.exchange(0, DRAW, {0: ()})
    with pytest.raises(SessionError, match="more exchanges than it declares"):
        session.exchange(0, JUDGE, {0: (gradients(), votes())})


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("hosts", [[[0, 1, 2]], [[0, 2], [1]]])
def test_a_step_may_have_a_single_exchange(channel, hosts):
    """Both ways of the shared memory are used anew in every step, without an exchange in between."""
    number = Kind("number", role="activation")
    only = Exchange(1, "ADD", up=(number,), down=(number,))
    seen = []

    class Adder:
        exchanges, dtype, clients = (only,), torch.float64, CLIENTS

        def shape(self, kind, client):
            return (8,)

        def step(self, step):
            frames = yield {}
            total = sum(frames[client][0][0] for client in sorted(frames))
            yield {client: (total.expand(2, 8).contiguous(),) for client in frames}

    class Counter:
        device = torch.device("cpu")

        def __init__(self, client):
            self.client, self.step_number = client, 0

        def step(self):
            self.step_number += 1
            value = 10.0**self.client * self.step_number
            received = yield Computed((torch.full((2, 8), value, dtype=torch.float64),))
            seen.append((self.step_number, self.client, received[0][0, 0].item()))

    session = open_session(Adder(), hosts, steps=STEPS, largest_batch=2)
    Hosts(channel, session).train({client: Counter(client) for client in CLIENTS}, STEPS)
    assert session.finished
    assert sorted(seen) == [(k, client, 111.0 * k) for k in range(1, STEPS + 1) for client in CLIENTS]


def test_the_module_declares_what_its_name_says():
    assert Painter.exchanges == (DRAW, JUDGE)
    assert DRAW.up == JUDGE.down == ()
    assert JUDGE.up == (GRADIENT, VOTES)
    assert {kind.dtype for exchange in Painter.exchanges for kind in exchange.up + exchange.down} == {
        None,
        torch.int64,
    }
