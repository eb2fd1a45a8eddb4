import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest
import torch

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import DropOut, DroppedClient, SessionError, run_steps
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel, Rendezvous, StreamClaim, arrive
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.session.wire.codec import MESSAGE_BYTES, REASON_CHARACTERS, encode_frame
from huscf_flwr.session.wire.endpoint import PortTakenError
from huscf_flwr.split import DISCRIMINATE, DISCRIMINATOR_BACKWARD, EXCHANGES, GENERATE, HostedClient
from tests.models.specs import small_specs
from tests.session.threads import PATIENCE, errors_of, wait_until
from tests.split.builders import build, exchanged, open_session, random_batch

SPEC = small_specs()["three-blocks"]
CUT = legal_cuts(SPEC)[0]


@pytest.fixture
def server():
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()


def session_of(hosts, **settings):
    executor, clients = build(SPEC, {client: CUT for clients in hosts for client in clients})
    return open_session(executor, hosts, **settings), {client.client: client for client in clients}


def head_output():
    return (torch.zeros(2, *SPEC.generator_shapes[1], dtype=torch.float64),)


def hosted(clients, ids):
    return [HostedClient(clients[k], lambda k=k: random_batch(SPEC, 2, k)) for k in ids]


def begin(server, token, client=0):
    """Take part in the first exchange of a session."""
    with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel:
        return exchanged(channel, GENERATE, {client: head_output()})


def status_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_without_a_token_nothing_is_served(server):
    server.open_session(session_of([[0]])[0])
    server.open_rendezvous(Rendezvous(1, 1.0))
    refused = grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(server.address) as channel:
        stub = services.SplitExecutorStub(channel)
        assert status_of(lambda: stub.Arrive(messages.Arrival(host="a"))) == (
            refused,
            "no rendezvous for this token",
        )
        assert status_of(lambda: next(stub.Session(iter([])))) == (refused, "no session for this token")


@pytest.mark.parametrize("token", ["", "wrong", "token-of-nobody"])
def test_a_wrong_token_is_refused_and_does_not_harm_the_session(server, token):
    session, clients = session_of([[0]])
    (right,) = server.open_session(session)
    with pytest.raises(SessionError, match="no session for this token"):
        begin(server, token)
    assert session.failure is None
    with GrpcChannel(server.address, right, exchanges=EXCHANGES) as channel:
        run_steps(hosted(clients, [0]), channel, 1)
    assert session.finished


def test_a_token_serves_once(server):
    session, clients = session_of([[0]], steps=2)
    (token,) = server.open_session(session)
    with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel:
        run_steps(hosted(clients, [0]), channel, 1)
        with pytest.raises(SessionError, match="the token has been used"):
            begin(server, token)
        run_steps(hosted(clients, [0]), channel, 1)
    assert session.finished


def test_a_token_of_the_round_before_is_refused(server):
    (old,) = server.open_session(session_of([[0]])[0])
    (new,) = server.open_session(session_of([[0]])[0])
    assert old != new
    with pytest.raises(SessionError, match="no session for this token"):
        begin(server, old)


def test_nobody_comes_to_a_rendezvous_with_another_token(server):
    rendezvous = Rendezvous(1, 1.0)
    with pytest.raises(SessionError, match="no rendezvous for this token"):
        arrive(server.address, "", "a", PATIENCE)
    token = server.open_rendezvous(rendezvous)
    with pytest.raises(SessionError, match=rf"rendezvous at {server.address}: no rendezvous for this token"):
        arrive(server.address, token + "x", "a", PATIENCE)
    assert arrive(server.address, token, "a", PATIENCE) is True


def test_hosts_come_to_the_rendezvous_over_the_wire(server):
    token = server.open_rendezvous(Rendezvous(2, PATIENCE))
    with ThreadPoolExecutor(2) as pool:
        admitted = pool.map(lambda host: arrive(server.address, token, host, PATIENCE), ["a", "b"])
        assert list(admitted) == [True, True]
    assert arrive(server.address, token, "late", PATIENCE) is False


def test_a_taken_port_is_said_so_with_the_setting(server):
    with pytest.raises(PortTakenError, match=rf"executor\.bind: cannot listen at {server.address}"):
        ExecutorServer(server.address)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(PortTakenError, match=taken):
            ExecutorServer(taken)


def test_the_address_is_the_one_to_advertise():
    server = ExecutorServer("127.0.0.1:0", advertise="cloud.example:4000")
    assert server.address == "cloud.example:4000"
    server.stop()


def test_a_token_is_good_for_who_it_is_bound_to_only(server):
    session, clients = session_of([[0], [1]])
    bound = [StreamClaim(7, 3, 1, node, (client,)) for client, node in enumerate([11, 12])]
    tokens = server.open_session(session, bound)
    others = [
        bound[1],
        replace(bound[0], run=8),
        replace(bound[0], round=2),
        replace(bound[0], attempt=2),
        replace(bound[0], clients=(0, 1)),
        StreamClaim(),
    ]
    for claim in others:
        with (
            pytest.raises(SessionError, match="not for this run, round, SuperNode and these clients"),
            GrpcChannel(server.address, tokens[0], claim, exchanges=EXCHANGES) as channel,
        ):
            exchanged(channel, GENERATE, {0: head_output()})
    assert session.dropped == {}

    def run(client):
        with GrpcChannel(server.address, tokens[client], bound[client], exchanges=EXCHANGES) as channel:
            run_steps(hosted(clients, [client]), channel, 1)

    assert errors_of(lambda: run(0), lambda: run(1)) == [None, None]
    assert session.finished


def test_a_token_expires(server):
    session, _ = session_of([[0]])
    (token,) = server.open_session(session, lifetime=0.0)
    with pytest.raises(SessionError, match="the token has expired"):
        begin(server, token)


def both(server, session, first, second):
    """Run two hosts side by side; return what each raised."""
    tokens = server.open_session(session)
    return errors_of(lambda: first(tokens[0]), lambda: second(tokens[1]))


def send(server, token, packets):
    with grpc.insecure_channel(server.address) as channel:
        stub = services.SplitExecutorStub(channel)
        list(stub.Session(iter(packets), metadata=StreamClaim().metadata(token), timeout=PATIENCE))


def begins(server):
    return lambda token: begin(server, token)


def test_that_a_host_fails_is_told_without_what_may_be_private(server):
    """The text of an error that is not ours could quote the data: only its name crosses."""
    session, _ = session_of([[0], [1]])

    def fail(token):
        with GrpcChannel(server.address, token, exchanges=EXCHANGES):
            raise OSError("cannot read /home/ann/diagnoses/label-3.png")

    fine, guilty = both(server, session, begins(server), fail)
    assert isinstance(guilty, OSError)
    assert fine is None
    assert session.dropped[1].reason == "OSError"


def test_a_loss_that_is_not_finite_costs_its_client_the_session(server):
    session, clients = session_of([[0], [1]], steps=2)
    with torch.no_grad():
        clients[1].segments.discriminator.blocks.at(2).main.bias.fill_(float("nan"))
    results = {}

    def run(client):
        def train(token):
            with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel:
                results[client] = run_steps(hosted(clients, [client]), channel, 2)

        return train

    assert both(server, session, run(0), run(1)) == [None, None]
    assert session.finished
    reason = "client 1: the discriminator's loss is nan"
    assert session.dropped == {1: DroppedClient(1, DISCRIMINATOR_BACKWARD.name, reason)}
    assert results[1].drop_outs == {1: DropOut(reason)}
    assert set(results[0].losses) == {0}


def test_a_host_that_leaves_early_is_noticed_at_once(server):
    """The other waits for it, and goes on long before the deadline."""
    session, _ = session_of([[0], [1]], patience=float("inf"))

    def leave(token):
        GrpcChannel(server.address, token, exchanges=EXCHANGES).close()

    assert both(server, session, begins(server), leave) == [None, None]
    assert session.dropped[1].reason == "left after 0 steps"


def test_a_host_that_leaves_while_it_waits_is_noticed_at_once(server):
    session, _ = session_of([[0], [1]], patience=float("inf"))
    tokens = server.open_session(session)
    channel = GrpcChannel(server.address, tokens[0], patience=0.2, exchanges=EXCHANGES)
    with pytest.raises(SessionError, match=r"did not answer within 0.2 s"):
        exchanged(channel, GENERATE, {0: head_output()})
    channel.close()
    wait_until(lambda: 0 in session.dropped)
    begin(server, tokens[1], 1)


def test_a_silent_host_is_given_up_by_the_server(server):
    """Nobody else is in the session who could notice."""
    session, _ = session_of([[0]], patience=0.1)
    (token,) = server.open_session(session)
    with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel:
        wait_until(lambda: session.failure is not None)
        with pytest.raises(SessionError, match=r"did not come to GENERATE within 0\.1 s"):
            exchanged(channel, GENERATE, {0: head_output()})


def frame(exchange=1, client=1, **fields):
    return messages.Packet(frame=messages.Frame(exchange=exchange, client=client, **fields))


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        ([frame(exchange=9)], "there is no exchange 9"),
        ([frame()], "client 1, GENERATE up: 0 tensors, expected 1"),
        ([frame(client=0)], r"host 1 sent client 0, which is not one of \[1\]"),
        ([frame(client=0, drop_out="sabotage")], "host 1 sent client 0 out of turn in GENERATE"),
        ([frame(exchange=3)], "client 1 sent DISCRIMINATOR_BACKWARD, but GENERATE is due"),
        ([frame(tensors=[messages.Tensor(dtype="int32", shape=[1])])], "'int32' may not cross"),
        (
            [frame(tensors=[messages.Tensor(dtype="int64", shape=[2, 4, 4, 4])])],
            "torch.int64, expected torch.float64",
        ),
        ([frame(tensors=[messages.Tensor(dtype="float32", shape=[2, 4, 4, 4])])], "float32, expected torch"),
        ([frame(tensors=[messages.Tensor(dtype="float64", shape=[2**31, 4, 4, 4])])], "samples, at most 9"),
        ([messages.Packet(data=b"123")], "numbers came without a frame"),
        ([messages.Packet(farewell="tired")], "tired"),
    ],
)
def test_what_is_no_frame_costs_its_sender_the_session(server, packets, message):
    session, _ = session_of([[0], [1]], largest_batch=9)

    def break_protocol(token):
        send(server, token, packets)

    fine, guilty = both(server, session, begins(server), break_protocol)
    assert fine is None
    with pytest.raises(grpc.RpcError, match=message):
        raise guilty
    assert re.search(message, session.dropped[1].reason)
    assert session.dropped[1].exchange == GENERATE.name


@pytest.mark.parametrize(
    "packet",
    [
        messages.Packet(farewell="tired " * 10**4),
        frame(tensors=[messages.Tensor(dtype="int" * 10**4, shape=[1])]),
    ],
)
def test_a_reason_that_a_host_gives_has_a_length(server, packet):
    """It goes into the log, and to everybody: in a status, for which gRPC has little room."""
    session, _ = session_of([[0], [1]])
    fine, guilty = both(server, session, begins(server), lambda token: send(server, token, [packet]))
    assert fine is None
    assert guilty.code() is grpc.StatusCode.ABORTED
    assert guilty.details() == session.dropped[1].reason
    assert len(guilty.details()) == REASON_CHARACTERS


def test_a_message_beyond_the_limit_costs_its_sender_the_session(server):
    session, _ = session_of([[0], [1]])

    def send_too_much(token):
        send(server, token, [messages.Packet(data=bytes(MESSAGE_BYTES))])

    fine, guilty = both(server, session, begins(server), send_too_much)
    assert fine is None
    assert guilty.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert 1 in session.dropped


def test_a_client_is_sent_once_in_an_exchange(server):
    session, _ = session_of([[0, 1]])
    (token,) = server.open_session(session)
    packets = list(encode_frame(GENERATE, 0, head_output()))
    with pytest.raises(grpc.RpcError, match="host 0 sent client 0 out of turn in GENERATE"):
        send(server, token, packets * 2)


def test_one_client_of_a_host_drops_out_and_the_other_goes_on(server):
    session, _ = session_of([[0, 1]], steps=2)
    (token,) = server.open_session(session)
    with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel:
        received = exchanged(channel, GENERATE, {0: head_output(), 1: DropOut("no battery")})
        assert received[1] == DropOut("no battery")
        assert isinstance(received[0], tuple)
        with pytest.raises(SessionError, match="host 0 sent client 1, which is not one of"):
            exchanged(channel, DISCRIMINATE, {1: head_output() * 2})


def test_an_executor_that_fails_ends_all_streams(server, monkeypatch):
    executor, _ = build(SPEC, {0: CUT, 1: CUT})
    session = open_session(executor, [[0], [1]])

    def fail(number):
        yield {}
        raise RuntimeError("out of memory")

    monkeypatch.setattr(executor, "step", fail)
    errors = both(
        server, session, lambda token: begin(server, token, 0), lambda token: begin(server, token, 1)
    )
    for error in errors:
        with pytest.raises(SessionError, match="out of memory"):
            raise error


def test_stopping_the_server_ends_the_session_for_who_waits():
    server = ExecutorServer("127.0.0.1:0")
    session, _ = session_of([[0], [1]])
    token, _ = server.open_session(session)
    with GrpcChannel(server.address, token, exchanges=EXCHANGES) as channel, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(exchanged, channel, GENERATE, {0: head_output()})
        server.stop()
        with pytest.raises(SessionError):
            waiting.result(PATIENCE)
    assert str(session.failure) == "the server stops"


def test_an_executor_that_is_not_there_is_named():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(SessionError, match=f"rendezvous at {address}"):
            arrive(address, "token", "a", 0.2)
