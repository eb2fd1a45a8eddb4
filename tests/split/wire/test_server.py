import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import torch

from huscf_flwr.models import legal_cuts
from huscf_flwr.split import Exchange, HostedClient, NonFiniteLossError, SessionError, run_steps
from huscf_flwr.split.wire import ExecutorServer, GrpcChannel, Rendezvous, arrive
from huscf_flwr.split.wire import split_session_pb2 as messages
from huscf_flwr.split.wire import split_session_pb2_grpc as services
from huscf_flwr.split.wire.codec import encode_frame
from huscf_flwr.split.wire.endpoint import PortTakenError
from tests.split.builders import build, open_session, random_batch, small_specs
from tests.split.threads import PATIENCE, errors_of

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
    with GrpcChannel(server.address, token) as channel:
        return channel.exchange(Exchange.GENERATE, {client: head_output()})


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
    with GrpcChannel(server.address, right) as channel:
        run_steps(hosted(clients, [0]), channel, 1)
    assert session.finished


def test_a_token_serves_once(server):
    session, clients = session_of([[0]], steps=2)
    (token,) = server.open_session(session)
    with GrpcChannel(server.address, token) as channel:
        run_steps(hosted(clients, [0]), channel, 1)
        with pytest.raises(SessionError, match="no session for this token"):
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
    assert rendezvous.admitted == ()


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


def both(server, session, first, second):
    """Run two hosts side by side; return what each raised."""
    tokens = server.open_session(session)
    return errors_of(lambda: first(tokens[0]), lambda: second(tokens[1]))


def send(server, token, frames):
    with grpc.insecure_channel(server.address) as channel:
        stub = services.SplitExecutorStub(channel)
        list(stub.Session(iter(frames), metadata=[("huscf-token", token)], timeout=PATIENCE))


def wait_for_the_other(server):
    return lambda token: begin(server, token)


def test_that_a_host_fails_reaches_the_others_without_what_may_be_private(server):
    """The text of an error that is not ours could quote the data: only its name crosses."""
    session, _ = session_of([[0], [1]], timeout=PATIENCE)

    def fail(token):
        with GrpcChannel(server.address, token):
            raise OSError("cannot read /home/ann/diagnoses/label-3.png")

    waiting, guilty = both(server, session, wait_for_the_other(server), fail)
    assert isinstance(guilty, OSError)
    assert isinstance(waiting, SessionError)
    assert str(waiting) == f"the executor at {server.address}: step 1, GENERATE: OSError"
    assert str(session.failure) == "OSError"


def test_a_loss_that_is_not_finite_reaches_the_others(server):
    session, clients = session_of([[0], [1]], timeout=PATIENCE, steps=2)
    with torch.no_grad():
        clients[1].segments.discriminator.blocks.at(2).main.bias.fill_(float("nan"))

    def run(client):
        def train(token):
            with GrpcChannel(server.address, token) as channel:
                run_steps(hosted(clients, [client]), channel, 2)

        return train

    waiting, guilty = both(server, session, run(0), run(1))
    assert isinstance(guilty, NonFiniteLossError)
    assert "step 1, client 1: the discriminator's loss is nan" in str(waiting)


def test_a_host_that_leaves_early_is_noticed(server):
    session, _ = session_of([[0], [1]], timeout=PATIENCE)

    def leave(token):
        GrpcChannel(server.address, token).close()

    waiting, left = both(server, session, wait_for_the_other(server), leave)
    assert left is None
    assert "host 1 left after 0 steps" in str(waiting)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([messages.Frame(exchange=9, client=1)], "there is no exchange 9"),
        ([messages.Frame(exchange=1, client=1)], "client 1, GENERATE up: 0 tensors, expected 1"),
        ([messages.Frame(exchange=1, client=0)], r"host 1 sent clients \[0\], not \[1\]"),
        ([messages.Frame(exchange=3, client=1)], "host 1 sent DISCRIMINATOR_BACKWARD, but GENERATE is due"),
        (
            [messages.Frame(exchange=1, client=1, tensors=[messages.Tensor(dtype="int64", shape=[1])])],
            "a tensor of type 'int64' may not cross",
        ),
    ],
)
def test_what_is_no_frame_ends_the_session_for_all(server, frames, message):
    session, _ = session_of([[0], [1]], timeout=PATIENCE)

    def break_protocol(token):
        send(server, token, frames)

    waiting, guilty = both(server, session, wait_for_the_other(server), break_protocol)
    for error in (waiting, guilty):
        with pytest.raises((SessionError, grpc.RpcError), match=message):
            raise error


def test_a_client_is_sent_once_in_an_exchange(server):
    session, _ = session_of([[0, 1]])
    (token,) = server.open_session(session)
    frame = encode_frame(Exchange.GENERATE, 0, head_output())
    with pytest.raises(grpc.RpcError, match="host 0 sent client 0 twice in GENERATE"):
        send(server, token, [frame, frame])


def test_an_executor_that_fails_ends_all_streams(server, monkeypatch):
    executor, _ = build(SPEC, {0: CUT, 1: CUT})
    session = open_session(executor, [[0], [1]], timeout=PATIENCE)

    def fail(observe):
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
    session, _ = session_of([[0], [1]], timeout=PATIENCE)
    token, _ = server.open_session(session)
    with GrpcChannel(server.address, token) as channel, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(channel.exchange, Exchange.GENERATE, {0: head_output()})
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
