"""The executor's end of the streams: it listens for a whole run and serves one session a round."""

from __future__ import annotations

import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import grpc

from huscf_flwr.session.attendance import SessionError
from huscf_flwr.session.exchange import DIRECTIONS, DropOut, Exchange, Frame, FrameError, TensorHeader
from huscf_flwr.session.lockstep import LockStep
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.session.wire.claim import StreamClaim, presented
from huscf_flwr.session.wire.codec import MESSAGE_BYTES, REASON_CHARACTERS, FrameReader, encode_frame
from huscf_flwr.session.wire.endpoint import Endpoint, is_on_this_machine
from huscf_flwr.session.wire.read_ahead import read_ahead
from huscf_flwr.session.wire.rendezvous import Rendezvous
from huscf_flwr.session.wire.shared_memory import OFFER_KEY, MemoryOffer, offer_memory
from huscf_flwr.session.wire_end import WireEnd

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # A peer that lost its power does not say goodbye.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
]
_STOP_SECONDS = 2.0
_PACKETS_AHEAD = 32
_WATCH_SECONDS = 0.2


@dataclass(eq=False)
class _Ticket:
    """A token that was given out, and what it is good for."""

    session: LockStep
    host: int
    claim: str
    expires_at: float
    share_memory: bool
    used_by: object | None = None


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
        self._threads = ThreadPoolExecutor(streams, thread_name_prefix="split-stream")
        self._server = grpc.server(
            self._threads,
            options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)],
        )
        services.add_SplitExecutorServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.address = Endpoint(bind, advertise, certificate, key, insecure).listen(self._server)
        self._streams = streams
        self._lock = threading.Lock()
        self._session: LockStep | None = None
        self._tickets: dict[str, _Ticket] = {}
        self._rendezvous: Rendezvous | None = None
        self._rendezvous_token = ""
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="split-deadlines", daemon=True)
        self._watcher.start()
        self._server.start()

    def open_rendezvous(self, rendezvous: Rendezvous) -> str:
        """Let hosts arrive; return the token that they need."""
        self._rendezvous_token = secrets.token_urlsafe()
        self._rendezvous = rendezvous
        return self._rendezvous_token

    def open_session(
        self,
        session: LockStep,
        claims: Sequence[StreamClaim] | None = None,
        *,
        lifetime: float = math.inf,
        share_memory: Collection[int] = (),
    ) -> tuple[str, ...]:
        """Serve ``session`` from now on, and no other; return one single-use token for each of its hosts.

        A token is good for ``lifetime`` seconds, with the same claim as is given here for the host.
        The hosts in ``share_memory``, by their index, are offered shared memory if they come from this
        machine.
        """
        if len(session.hosts) > self._streams:
            raise ValueError(f"{len(session.hosts)} hosts, but the executor serves {self._streams} at once")
        expires_at = time.monotonic() + lifetime
        bound = claims or [StreamClaim()] * len(session.hosts)
        tickets = {
            secrets.token_urlsafe(): _Ticket(session, host, str(claim), expires_at, host in share_memory)
            for host, claim in enumerate(bound)
        }
        with self._lock:
            self._session = session
            self._tickets = tickets
        return tuple(tickets)

    def stop(self) -> None:
        """End an open session and stop listening."""
        if self._session is not None:
            self._session.abort(SessionError("the server stops"))
        self._stopping.set()
        self._server.stop(_STOP_SECONDS).wait()
        self._watcher.join()
        self._threads.shutdown()

    def Arrive(  # noqa: N802 - the name in the .proto file
        self, request: messages.Arrival, context: grpc.ServicerContext
    ) -> messages.Admission:
        """Wait for the other hosts."""
        token, _ = presented(context.invocation_metadata())
        if self._rendezvous is None or not _equal(token, self._rendezvous_token):
            _refuse(context, "no rendezvous for this token")
        return messages.Admission(admitted=self._rendezvous.arrive(request.host))

    def Session(  # noqa: N802 - the name in the .proto file
        self, request_iterator: Iterator[messages.Packet], context: grpc.ServicerContext
    ) -> Iterator[messages.Packet]:
        """Carry one host's frames to the session and back."""
        ticket = self._admit(context)
        session, host = ticket.session, ticket.host
        # It runs as soon as the stream is over, even while this thread waits for other hosts.
        if not context.add_callback(lambda: self._gone(ticket, context)):
            self._gone(ticket, context)
        offer = self._offer(ticket, context.peer())
        if offer is not None and not context.add_callback(offer.close):
            offer.close()
        # A host that can share memory waits for this before its first frame.
        context.send_initial_metadata([(OFFER_KEY, str(offer))] if offer else [])
        try:
            several = len(session.hosts[host]) > 1
            with _taken_in(request_iterator, ahead=several and offer is None) as incoming:
                yield from _serve(session, host, incoming, lambda: self._use(ticket, context), offer)
        except (FrameError, SessionError) as error:
            # It may quote what the host sent, and that at any length.
            reason = str(error)[:REASON_CHARACTERS]
            if self._mine(ticket, context):
                session.leave(host, reason)
            context.abort(grpc.StatusCode.ABORTED, reason)

    def _admit(self, context: grpc.ServicerContext) -> _Ticket:
        token, claim = presented(context.invocation_metadata())
        with self._lock:
            ticket = next((ticket for known, ticket in self._tickets.items() if _equal(known, token)), None)
        if ticket is None:
            _refuse(context, "no session for this token")
        if not _equal(ticket.claim, claim):
            _refuse(context, "the token is not for this run, round, SuperNode and these clients")
        if ticket.used_by is not None:
            _refuse(context, "the token has been used")
        if time.monotonic() > ticket.expires_at:
            _refuse(context, "the token has expired")
        return ticket

    def _offer(self, ticket: _Ticket, peer: str) -> MemoryOffer | None:
        """Offer memory to the first stream with the ticket, if it is to have any and comes from here."""
        with self._lock:
            wanted, ticket.share_memory = ticket.share_memory, False
        if not wanted or not is_on_this_machine(peer):
            return None
        up, down = (ticket.session.tensor_bytes(ticket.host, way) for way in ("up", "down"))
        return None if up is None or down is None else offer_memory(up, down)

    def _use(self, ticket: _Ticket, stream: grpc.ServicerContext) -> None:
        if not self._mine(ticket, stream):
            _refuse(stream, "the token has been used")

    def _mine(self, ticket: _Ticket, stream: object) -> bool:
        """Return whether the token is this stream's; an unused token becomes so."""
        with self._lock:
            ticket.used_by = ticket.used_by or stream
            return ticket.used_by is stream

    def _gone(self, ticket: _Ticket, stream: object) -> None:
        session = ticket.session
        if not session.finished and self._mine(ticket, stream):
            session.leave(ticket.host, f"left after {session.finished_steps} steps")

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_SECONDS):
            if self._session is not None:
                self._session.give_up_late()


def _taken_in(
    incoming: Iterator[messages.Packet], *, ahead: bool
) -> AbstractContextManager[Iterator[messages.Packet]]:
    """Read ahead where much can come while answers are sent: from several clients, over a network."""
    return closing(read_ahead(incoming, _PACKETS_AHEAD)) if ahead else nullcontext(incoming)


def _serve(
    session: LockStep,
    host: int,
    incoming: Iterator[messages.Packet],
    use_token: Callable[[], None],
    offer: MemoryOffer | None = None,
) -> Iterator[messages.Packet]:
    """Answer a host's frames; ``use_token`` is called with each that is valid.

    Answers go the way that the frames came: by the memory on ``offer``, or by the stream.
    """
    awaited = set(session.hosts[host])

    def expect(client: int, exchange: Exchange, headers: Sequence[TensorHeader]) -> None:
        if client not in awaited:
            raise FrameError(f"host {host} sent client {client}, which is not one of {sorted(awaited)}")
        session.expect(client, exchange, headers)

    up, down = (WireEnd(session.wire, session.exchanges, way) for way in DIRECTIONS)
    reader = FrameReader(session.exchanges, expect, up, offer.up if offer else None)
    parcels: dict[int, Frame | DropOut] = {}
    for packet in incoming:
        if packet.farewell:
            raise SessionError(packet.farewell)
        received = reader.add(packet)
        if received is None:
            continue
        exchange, client, parcel = received
        if client in parcels or client not in awaited:
            raise FrameError(f"host {host} sent client {client} out of turn in {exchange.name}")
        use_token()
        parcels[client] = parcel
        if parcels.keys() == awaited:
            answers = session.exchange(host, exchange, parcels)
            region = offer.down if offer and packet.frame.HasField("place") else None
            for receiver, answer in answers.items():
                yield from encode_frame(exchange, receiver, answer, down, region)
            awaited -= {client for client, answer in answers.items() if isinstance(answer, DropOut)}
            parcels = {}


def _equal(known: str, told: str) -> bool:
    return hmac.compare_digest(known.encode(), told.encode())


def _refuse(context: grpc.ServicerContext, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, why)
    raise AssertionError("abort raises")
