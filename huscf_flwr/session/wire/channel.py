"""A host's end of the stream."""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import grpc

from huscf_flwr.session.attendance import SessionError
from huscf_flwr.session.exchange import DropOut, Exchange, FrameError, Parcel, check_listed
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.session.wire.claim import StreamClaim
from huscf_flwr.session.wire.codec import FrameReader, encode_frame
from huscf_flwr.session.wire.endpoint import open_channel
from huscf_flwr.session.wire.server import CHANNEL_OPTIONS
from huscf_flwr.session.wire.shared_memory import OFFER_KEY, Region, take_memory
from huscf_flwr.session.wire_end import WireEnd
from huscf_flwr.session.wire_type import WireType

_REACH_SECONDS = 60.0
_LEAVE_SECONDS = 10.0
_OWN_ERRORS = (FrameError, SessionError)


def arrive(address: str, token: str, host: str, timeout: float, roots: bytes | None = None) -> bool:
    """Come to the rendezvous at ``address``; returns whether ``host`` takes part in the run.

    Raises ``SessionError`` if the executor cannot be reached within ``timeout`` seconds, or ``roots`` do not
    vouch for it: see ``open_channel``.
    """
    with open_channel(address, roots, CHANNEL_OPTIONS) as channel:
        stub = services.SplitExecutorStub(channel)  # type: ignore[no-untyped-call]
        try:
            answer = stub.Arrive(
                messages.Arrival(host=host),
                metadata=StreamClaim().metadata(token),
                timeout=timeout,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            raise SessionError(f"rendezvous at {address}: {error.details()}") from error
    return bool(answer.admitted)


class GrpcChannel:
    """One stream to the executor, for all clients of this host, for one round."""

    def __init__(
        self,
        address: str,
        token: str,
        claim: StreamClaim | None = None,
        *,
        exchanges: tuple[Exchange, ...],
        wire: WireType | None = None,
        patience: float = math.inf,
        roots: bytes | None = None,
        share_memory: bool = False,
    ) -> None:
        """Open the stream; ``exchanges`` and ``wire`` are those of the executor's session.

        With ``share_memory`` the numbers of frames go by memory that the executor shares, if it offers any
        and is on this machine: see ``shared_memory``.

        ``patience`` is how many seconds an answer may take, the time that other hosts need included. Raises
        ``SessionError`` if nothing listens at ``address``, or ``roots`` do not vouch for it; a refused
        token shows in the first exchange.
        """
        self.exchanges = exchanges
        crosses = wire or WireType()
        self.up_end = WireEnd(crosses, exchanges, "up")
        self._stream = _Stream(address, (claim or StreamClaim()).metadata(token), patience, roots)
        self._up, down = self._take_memory() if share_memory else (None, None)
        self._reader = FrameReader(exchanges, _expect_anything, WireEnd(crosses, exchanges, "down"), down)
        self._held: list[Iterable[messages.Packet]] = []
        self._answers: deque[tuple[int, Parcel]] = deque()

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:
        """Send up one client's tensors; over a network, while this host goes on.

        What goes by shared memory is held back until the host has nothing else to do: cores that copy are
        cores that do not compute, and there is no link to keep busy. Raises ``FrameError`` for a tensor that
        the exchange does not list.
        """
        if not isinstance(parcel, DropOut):
            check_listed(parcel, exchange, "up", client=client)
        packets = encode_frame(exchange, client, parcel, self.up_end, self._up)
        if self._up is None:
            self.send_packets(packets)
        else:
            self._held.append(packets)

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Return the next client that has its answer, and the answer.

        Raises ``SessionError`` with the executor's reason when the session is over, or if it does not answer
        in time.
        """
        if self._up is None:
            return self._next_answer(exchange)
        if not self._answers:
            held, self._held = self._held, []
            for packets in held:
                self.send_packets(packets)
            self._answers = deque(self._next_answer(exchange) for _ in held)
        return self._answers.popleft()

    def send_packets(self, packets: Iterable[messages.Packet]) -> None:
        """Send packets as they are; they are asked for when the network takes them."""
        self._stream.send(packets)

    def close(self, farewell: str = "") -> None:
        """End the stream, telling the executor why if it is not for a good reason."""
        if farewell:
            self.send_packets([messages.Packet(farewell=farewell)])
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The text of an error that is not ours may have in it what must not leave the host.
        words = f": {error}" if isinstance(error, _OWN_ERRORS) else ""
        self.close("" if error is None else f"{type(error).__name__}{words}")

    def _take_memory(self) -> tuple[Region | None, Region | None]:
        """Wait until the stream is admitted, and take what is offered, if it can be reached."""
        offer = self._stream.metadata(OFFER_KEY)
        taken = None if offer is None else take_memory(offer)
        return taken or (None, None)

    def _next_answer(self, exchange: Exchange) -> tuple[int, Parcel]:
        while True:
            received = self._reader.add(self._stream.next_packet())
            if received is not None:
                break
        answered, client, parcel = received
        if answered != exchange:
            raise SessionError(f"the executor answered {answered.name} to {exchange.name}")
        if not isinstance(parcel, DropOut):
            check_listed(parcel, exchange, "down", client=client)
        return client, parcel


class _Stream:
    """The packets of one call, both ways: sent and received while the host computes."""

    def __init__(
        self, address: str, metadata: list[tuple[str, str]], patience: float, roots: bytes | None
    ) -> None:
        self._address = address
        self._patience = None if math.isinf(patience) else patience
        self._channel = open_channel(address, roots, CHANNEL_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(_REACH_SECONDS)
        except grpc.FutureTimeoutError:
            self._channel.close()
            raise SessionError(f"no executor at {address} within {_REACH_SECONDS:g} s") from None
        self._outgoing: queue.SimpleQueue[Iterable[messages.Packet] | None] = queue.SimpleQueue()
        stub = services.SplitExecutorStub(self._channel)  # type: ignore[no-untyped-call]
        self._call = stub.Session(self._packets(), metadata=metadata)
        self._incoming: queue.SimpleQueue[messages.Packet | SessionError] = queue.SimpleQueue()
        self._receiver = threading.Thread(target=self._receive, name="split-receiver", daemon=True)
        self._receiver.start()

    def send(self, packets: Iterable[messages.Packet]) -> None:
        """Send packets when the network takes them."""
        self._outgoing.put(packets)

    def metadata(self, key: str) -> str | None:
        """Return what the server says under ``key`` when it has admitted the stream, if anything."""
        return next((str(value) for name, value in self._call.initial_metadata() if name == key), None)

    def next_packet(self) -> messages.Packet:
        """Return the next packet; raises ``SessionError`` if the stream is over, or none comes in time."""
        try:
            packet = self._incoming.get(timeout=self._patience)
        except queue.Empty:
            self._call.cancel()
            raise SessionError(
                f"the executor at {self._address} did not answer within {self._patience:g} s"
            ) from None
        if isinstance(packet, SessionError):
            self._incoming.put(packet)
            raise packet
        return packet

    def close(self) -> None:
        """End the stream when all that was sent has gone."""
        self._outgoing.put(None)
        # Closing at once would lose what is still on its way.
        self._receiver.join(_LEAVE_SECONDS)
        self._channel.close()
        self._receiver.join()

    def _packets(self) -> Iterator[messages.Packet]:
        """Encode frames as the network takes them: no more than one of them is held twice."""
        for packets in iter(self._outgoing.get, None):
            yield from packets

    def _receive(self) -> None:
        try:
            for packet in self._call:
                self._incoming.put(packet)
        except grpc.RpcError as error:
            self._incoming.put(SessionError(f"the executor at {self._address}: {error.details()}"))
        else:
            self._incoming.put(SessionError(f"the executor at {self._address} ended the session"))


def _expect_anything(*_: object) -> None:
    """Take whatever the executor sends of the exchange's kinds: a host trusts it with its training."""
