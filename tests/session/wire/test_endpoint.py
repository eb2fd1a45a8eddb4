"""Who may listen where, and who talks to whom, with TLS and without."""

import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread

import grpc
import pytest

from huscf_flwr.deployment import make_server_credentials
from huscf_flwr.models import legal_cuts
from huscf_flwr.session import SessionError, run_steps
from huscf_flwr.session.wire import Endpoint, EndpointError, ExecutorServer, GrpcChannel, Rendezvous, arrive
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.session.wire.endpoint import is_on_this_machine, open_channel
from huscf_flwr.split import EXCHANGES, HostedClient
from tests.models.specs import small_specs
from tests.session.threads import PATIENCE
from tests.split.builders import build, open_session, random_batch

SPEC = small_specs()["three-blocks"]
CUT = legal_cuts(SPEC)[0]


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    return make_server_credentials(tmp_path_factory.mktemp("credentials"), ["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Credentials with the same names, of another authority."""
    return make_server_credentials(tmp_path_factory.mktemp("others"), ["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def roots(credentials):
    return credentials.authority.read_bytes()


def secure_server(credentials, bind="127.0.0.1:0", **settings):
    return ExecutorServer(bind, certificate=credentials.certificate, key=credentials.key, **settings)


@pytest.fixture
def server(credentials):
    server = secure_server(credentials)
    yield server
    server.stop()


class Training:
    """Two hosts in one session, of which the test plays the first and holds up the second."""

    def __init__(self, server, roots, steps=2):
        executor, clients = build(SPEC, {0: CUT, 1: CUT})
        self.session = open_session(executor, [[0], [1]], steps=steps)
        self._hosted = [HostedClient(c, lambda k=c.client: random_batch(SPEC, 2, k)) for c in clients]
        self._channels = [
            GrpcChannel(server.address, token, roots=roots, exchanges=EXCHANGES)
            for token in server.open_session(self.session)
        ]

    def step(self):
        with ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(run_steps, [hosted], channel, 1)
                for hosted, channel in zip(self._hosted, self._channels, strict=True)
            ]
            for host in running:
                host.result(PATIENCE)

    def close(self):
        for channel in self._channels:
            channel.close()


def test_a_session_over_tls_goes_on_undisturbed_by_those_who_are_refused(server, roots, others):
    training = Training(server, roots)
    training.step()

    place = server.address.removeprefix("tls://")
    with grpc.insecure_channel(place) as channel, pytest.raises(grpc.RpcError) as plaintext:
        services.SplitExecutorStub(channel).Arrive(messages.Arrival(host="a"), timeout=PATIENCE)
    assert plaintext.value.code() is grpc.StatusCode.UNAVAILABLE
    host, _, port = place.rpartition(":")
    with socket.create_connection((host, int(port))) as noise:
        noise.sendall(b"GET / HTTP/1.1\r\n\r\n")
        noise.settimeout(PATIENCE)
        assert b"HTTP/1.1 200" not in noise.recv(1000)
    with pytest.raises(SessionError, match="is not whom this SuperNode trusts"):
        arrive(server.address, "token", "a", PATIENCE, others.authority.read_bytes())

    training.step()
    training.close()
    assert training.session.finished
    assert training.session.failure is None


def test_hosts_come_to_a_rendezvous_over_tls(server, roots):
    token = server.open_rendezvous(Rendezvous(1, 1.0))
    assert server.address.startswith("tls://127.0.0.1:")
    assert arrive(server.address, token, "a", PATIENCE, roots)


@pytest.mark.parametrize("secure", [True, False])
def test_what_crosses_is_encrypted(credentials, roots, secure):
    """The token, in clear in the metadata of a plaintext stream, is nowhere in the bytes of one with TLS."""
    server = secure_server(credentials) if secure else ExecutorServer("127.0.0.1:0")
    token = server.open_rendezvous(Rendezvous(1, 1.0))
    host, _, port = server.address.removeprefix("tls://").rpartition(":")
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=relay, args=(listener, (host, int(port)), seen)).start()
        address = f"{'tls://' if secure else ''}127.0.0.1:{listener.getsockname()[1]}"
        assert arrive(address, token, "a", PATIENCE, roots if secure else None)
        server.stop()
        listener.shutdown(socket.SHUT_RDWR)
    assert (token.encode() in b"".join(seen)) is not secure


def relay(listener, target, seen):
    """Pass on all that is said, and remember what the clients say."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            upstream = socket.create_connection(target)
            Thread(target=pump, args=(client, upstream, seen)).start()
            Thread(target=pump, args=(upstream, client, [])).start()


def pump(source, sink, seen):
    with suppress(OSError):
        while data := source.recv(65536):
            seen.append(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_a_server_that_is_not_the_one_is_found_out_at_once(others, roots, monkeypatch):
    monkeypatch.setattr("huscf_flwr.session.wire.channel._REACH_SECONDS", 3600.0)
    server = secure_server(others)
    with pytest.raises(
        SessionError, match=r"not whom this SuperNode trusts \(.*certificate.*root-certificates"
    ):
        GrpcChannel(server.address, "token", roots=roots, exchanges=EXCHANGES)
    server.stop()


def test_a_certificate_for_another_name_is_refused(tmp_path):
    credentials = make_server_credentials(tmp_path, ["localhost"])
    server = secure_server(credentials, "localhost:0")
    port = server.address.rpartition(":")[2]
    with pytest.raises(SessionError, match=r"not whom this SuperNode trusts \(.*127\.0\.0\.1"):
        arrive(f"tls://127.0.0.1:{port}", "token", "a", PATIENCE, credentials.authority.read_bytes())
    server.stop()


def test_an_address_cannot_turn_tls_off(roots):
    server = ExecutorServer("127.0.0.1:0")
    with pytest.raises(SessionError, match=r"has no TLS, but .*root-certificates; set executor\.certificate"):
        GrpcChannel(server.address, "token", roots=roots, exchanges=EXCHANGES)
    server.stop()


def test_tls_needs_somebody_to_trust(server):
    with pytest.raises(
        SessionError, match="has TLS, but this SuperNode's node config has no root-certificates"
    ):
        arrive(server.address, "token", "a", PATIENCE)


def test_root_certificates_that_are_none_are_named(server):
    with pytest.raises(SessionError, match="check root-certificates"):
        arrive(server.address, "token", "a", PATIENCE, b"no certificate")


def test_the_server_speaks_nothing_older_than_tls_1_2(server, roots):
    host, _, port = server.address.removeprefix("tls://").rpartition(":")
    context = ssl.create_default_context(cadata=roots.decode())
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port))) as connection:
        secured = context.wrap_socket(connection, server_hostname=host)
        assert secured.version() in ("TLSv1.2", "TLSv1.3")
        secured.close()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.8.0.1:0", "localhost:0", "[::1]:0"])
def test_loopback_needs_no_tls(bind):
    Endpoint(bind).check()


@pytest.mark.parametrize("bind", ["192.0.2.1:9000", "server.example:9000", "[2001:db8::1]:9000"])
def test_other_addresses_need_tls_or_an_explicit_word(bind, tmp_path):
    credentials = make_server_credentials(tmp_path, ["192.0.2.1", "server.example", "2001:db8::1"])
    with pytest.raises(EndpointError, match=rf"executor\.bind: {re.escape(bind)} .*executor\.insecure"):
        Endpoint(bind).check()
    Endpoint(bind, insecure=True).check()
    Endpoint(bind, certificate=credentials.certificate, key=credentials.key).check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"certificate": "a.pem"}, r"executor\.certificate is a\.pem, but executor\.key is not set"),
        ({"key": "a.key"}, r"executor\.key is a\.key, but executor\.certificate is not set"),
        (
            {"certificate": "a.pem", "key": "a.key", "insecure": True},
            r"executor\.insecure is true, but executor\.certificate is a\.pem",
        ),
        ({"bind": "0.0.0.0:9000", "insecure": True}, r"executor\.bind: 0\.0\.0\.0:9000.*executor\.advertise"),
        ({"bind": "[::]:9000", "insecure": True}, r"executor\.bind: \[::\]:9000.*executor\.advertise"),
        ({"bind": "127.0.0.1"}, r"executor\.bind: '127\.0\.0\.1' is not host:port"),
        ({"bind": ":9000"}, r"executor\.bind: ':9000' is not host:port"),
        ({"advertise": "cloud.example"}, r"executor\.advertise: 'cloud\.example' is not host:port; write it"),
        (
            {"advertise": "cloud.example:https"},
            r"executor\.advertise: 'cloud\.example:https' is not host:port",
        ),
        ({"advertise": ""}, r"executor\.advertise: '' is not host:port"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(settings, message):
    with pytest.raises(EndpointError, match=message):
        Endpoint(**{"bind": "127.0.0.1:0", **settings}).check()


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("ipv4:127.0.0.1:5000", True),
        ("ipv4:127.8.0.1:5000", True),
        ("ipv6:%5B::1%5D:5000", True),
        ("ipv6:[::1]:5000", True),
        ("unix:/run/huscf", True),
        ("unix:", True),
        ("unix-abstract:huscf", True),
        ("ipv4:192.0.2.1:5000", False),
        ("ipv4:0.0.0.0:5000", False),
        ("ipv6:%5B2001:db8::1%5D:5000", False),
        ("vsock:3:5000", False),
        ("127.0.0.1:5000", False),
        ("", False),
    ],
)
def test_who_comes_from_this_machine_is_known_by_the_address(peer, here):
    assert is_on_this_machine(peer) is here


def test_a_server_outside_loopback_without_tls_never_listens():
    with pytest.raises(EndpointError, match=r"executor\.bind: 0\.0\.0\.0:0"):
        ExecutorServer("0.0.0.0:0", advertise="server.example:9000")


@pytest.mark.parametrize("part", ["certificate", "key"])
def test_files_that_are_not_there_are_named(credentials, tmp_path, part):
    files = {"certificate": credentials.certificate, "key": credentials.key, part: tmp_path / "nowhere"}
    with pytest.raises(EndpointError, match=rf"executor\.{part}: .*nowhere cannot be read"):
        ExecutorServer("127.0.0.1:0", **files)


def test_a_key_of_another_certificate_is_found_out(credentials, others):
    with pytest.raises(
        EndpointError, match=r"executor\.certificate: .*executor\.key: .*are not a certificate"
    ):
        ExecutorServer("127.0.0.1:0", certificate=credentials.certificate, key=others.key)


def test_a_certificate_that_is_not_for_the_advertised_address_is_found_out(credentials):
    with pytest.raises(
        EndpointError,
        match=r"executor\.advertise: server\.example:9000 is not in the certificate .*for localhost, 127",
    ):
        secure_server(credentials, "0.0.0.0:0", advertise="server.example:9000")


@pytest.mark.parametrize("told", ["node.server.example:9000", "192.0.2.1:9000", "[2001:db8::1]:9000"])
def test_names_with_a_star_and_addresses_are_understood(tmp_path, told):
    names = ["*.server.example", "192.0.2.1", "2001:db8::1"]
    server = secure_server(make_server_credentials(tmp_path, names), "0.0.0.0:0", advertise=told)
    assert server.address == f"tls://{told}"
    server.stop()


@pytest.mark.parametrize("has_tls", [False, True])
def test_an_executor_on_this_machine_is_reached_past_proxies(monkeypatch, credentials, roots, has_tls):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = secure_server(credentials) if has_tls else ExecutorServer("127.0.0.1:0")
    channel = open_channel(server.address, roots if has_tls else None, ())
    try:
        grpc.channel_ready_future(channel).result(PATIENCE)
    finally:
        channel.close()
        server.stop()


def test_credentials_are_read_and_compared_before_anything_listens(tmp_path, credentials, others):
    for certificate, key, message in (
        (tmp_path / "none.pem", credentials.key, "executor.certificate: .*none.pem cannot be read"),
        (credentials.certificate, others.key, "are not a certificate and its unencrypted private key"),
    ):
        with pytest.raises(EndpointError, match=message):
            Endpoint("127.0.0.1:0", certificate=certificate, key=key).check()
    with pytest.raises(EndpointError, match=r"cloud\.example:1 is not in the certificate"):
        Endpoint("127.0.0.1:0", "cloud.example:1", credentials.certificate, credentials.key).check()
    Endpoint("127.0.0.1:0", certificate=credentials.certificate, key=credentials.key).check()


@pytest.mark.parametrize(
    ("bind", "message"),
    [
        ("127.0.0.1:70000", "'127.0.0.1:70000' has the port 70000; the last one is 65535"),
        ("::1:0", r"'::1:0' may mean several addresses; write .* as in \[::1\]:0"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_listens(bind, message):
    with pytest.raises(EndpointError, match=f"executor.bind: {message}"):
        Endpoint(bind).check()
    with pytest.raises(EndpointError, match=f"executor.advertise: {message}"):
        Endpoint("127.0.0.1:0", advertise=bind).check()
