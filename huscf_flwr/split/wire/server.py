"""The executor's end of the streams: it listens for a whole run and serves one session a round."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import grpc

from huscf_flwr.split.exchange import Frame, FrameError
from huscf_flwr.split.lockstep import LockStep, SessionError
from huscf_flwr.split.wire import split_session_pb2 as messages
from huscf_flwr.split.wire import split_session_pb2_grpc as services
from huscf_flwr.split.wire.codec import decode_frame, encode_frame
from huscf_flwr.split.wire.endpoint import Endpoint
from huscf_flwr.split.wire.rendezvous import Rendezvous

TOKEN_KEY = "huscf-token"
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A peer that lost its power does not say goodbye.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
]
_STOP_SECONDS = 2.0


class ExecutorServer(services.SplitExecutorServicer):
    """Serves the rendezvous and the sessions; synchronous gRPC holds one thread per open stream."""

    def __init__(
        self,
        bind: str,
        *,
        advertise: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        insecure: bool = False,
        streams: int = 256,
    ) -> None:
        """Listen at ``bind``, as ``Endpoint`` says, for up to ``streams`` hosts at once.

        Raises ``EndpointError`` if it must not, and ``PortTakenError`` if the port cannot be had.
        """
        self._server = grpc.server(
            ThreadPoolExecutor(streams, thread_name_prefix="split-stream"),
            options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)],
        )
        services.add_SplitExecutorServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.address = Endpoint(bind, advertise, certificate, key, insecure).listen(self._server)
        self._streams = streams
        self._lock = threading.Lock()
        self._session: LockStep | None = None
        self._hosts: dict[str, int] = {}
        self._rendezvous: Rendezvous | None = None
        self._rendezvous_token = ""
        self._server.start()

    def open_rendezvous(self, rendezvous: Rendezvous) -> str:
        """Let hosts arrive; return the token that they need."""
        self._rendezvous_token = secrets.token_urlsafe()
        self._rendezvous = rendezvous
        return self._rendezvous_token

    def open_session(self, session: LockStep) -> tuple[str, ...]:
        """Serve ``session`` from now on; return one single-use token for each of its hosts."""
        if len(session.hosts) > self._streams:
            raise ValueError(f"{len(session.hosts)} hosts, but the executor serves {self._streams} at once")
        tokens = tuple(secrets.token_urlsafe() for _ in session.hosts)
        with self._lock:
            self._session = session
            self._hosts = {token: host for host, token in enumerate(tokens)}
        return tokens

    def stop(self) -> None:
        """End an open session and stop listening."""
        if self._session is not None:
            self._session.abort(SessionError("the server stops"))
        self._server.stop(_STOP_SECONDS).wait()

    def Arrive(  # noqa: N802 - the name in the .proto file
        self, request: messages.Arrival, context: grpc.ServicerContext
    ) -> messages.Admission:
        """Wait for the other hosts."""
        token = _token(context)
        if self._rendezvous is None or not hmac.compare_digest(token, self._rendezvous_token):
            _refuse(context, "no rendezvous for this token")
        return messages.Admission(admitted=self._rendezvous.arrive(request.host))

    def Session(  # noqa: N802 - the name in the .proto file
        self, request_iterator: Iterator[messages.Frame], context: grpc.ServicerContext
    ) -> Iterator[messages.Frame]:
        """Carry one host's frames to the session and back."""
        session, host = self._admit(context)
        try:
            yield from _serve(session, host, request_iterator)
        except (FrameError, SessionError) as error:
            session.abort(error)
            context.abort(grpc.StatusCode.ABORTED, str(error))
        finally:
            if not session.finished:
                session.abort(SessionError(f"host {host} left after {session.finished_steps} steps"))

    def _admit(self, context: grpc.ServicerContext) -> tuple[LockStep, int]:
        presented = _token(context)
        with self._lock:
            known = next((token for token in self._hosts if hmac.compare_digest(token, presented)), None)
            if known is None or self._session is None:
                _refuse(context, "no session for this token")
            return self._session, self._hosts.pop(known)


def _serve(session: LockStep, host: int, incoming: Iterator[messages.Frame]) -> Iterator[messages.Frame]:
    clients = session.hosts[host]
    frames: dict[int, Frame] = {}
    for message in incoming:
        if message.failure:
            raise SessionError(message.failure)
        exchange, client, frame = decode_frame(message, session.wire)
        if client in frames:
            raise FrameError(f"host {host} sent client {client} twice in {exchange.name}")
        frames[client] = frame
        if len(frames) == len(clients):
            for receiver, answer in session.exchange(host, exchange, frames).items():
                yield encode_frame(exchange, receiver, answer, session.wire)
            frames = {}


def _token(context: grpc.ServicerContext) -> str:
    return str(dict(context.invocation_metadata()).get(TOKEN_KEY, ""))


def _refuse(context: grpc.ServicerContext, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, why)
    raise AssertionError("abort raises")
