"""A host's end of the stream."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import grpc

from huscf_flwr.split.client import NonFiniteLossError
from huscf_flwr.split.exchange import Exchange, Frame, FrameError, Frames
from huscf_flwr.split.lockstep import SessionError
from huscf_flwr.split.wire import split_session_pb2 as messages
from huscf_flwr.split.wire import split_session_pb2_grpc as services
from huscf_flwr.split.wire.codec import decode_frame, encode_frame
from huscf_flwr.split.wire.endpoint import open_channel
from huscf_flwr.split.wire.server import CHANNEL_OPTIONS, TOKEN_KEY
from huscf_flwr.split.wire_type import WireType

_REACH_SECONDS = 60.0
_OWN_ERRORS = (NonFiniteLossError, FrameError, SessionError)


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
                metadata=[(TOKEN_KEY, token)],
                timeout=timeout,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            raise SessionError(f"rendezvous at {address}: {error.details()}") from error
    return bool(answer.admitted)


class GrpcChannel:
    """One stream to the executor, for all clients of this host, for one round."""

    def __init__(
        self, address: str, token: str, wire: WireType | None = None, *, roots: bytes | None = None
    ) -> None:
        """Open the stream; ``wire`` is that of the executor's session.

        Raises ``SessionError`` if nobody listens at ``address``, or ``roots`` do not vouch for who does; a
        refused token shows in the first exchange.
        """
        self._address = address
        self._wire = wire or WireType()
        self._channel = open_channel(address, roots, CHANNEL_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(_REACH_SECONDS)
        except grpc.FutureTimeoutError:
            self._channel.close()
            raise SessionError(f"no executor at {address} within {_REACH_SECONDS:g} s") from None
        self._outgoing: queue.SimpleQueue[messages.Frame | None] = queue.SimpleQueue()
        stub = services.SplitExecutorStub(self._channel)  # type: ignore[no-untyped-call]
        self._incoming: Iterator[messages.Frame] = stub.Session(
            iter(self._outgoing.get, None),
            metadata=[(TOKEN_KEY, token)],
        )

    def exchange(self, exchange: Exchange, frames: Frames) -> Frames:
        """Send the frames of this host's clients up; return what comes down for them.

        Raises ``SessionError`` with the executor's reason when the session is over.
        """
        for client, frame in frames.items():
            self._outgoing.put(encode_frame(exchange, client, frame, self._wire))
        return dict(self._receive(exchange) for _ in frames)

    def close(self, failure: str = "") -> None:
        """End the stream, telling the executor why if it is not for a good reason."""
        if failure:
            self._outgoing.put(messages.Frame(failure=failure))
        self._outgoing.put(None)
        for _ in self._drain():
            pass
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The text of an error that is not ours may have in it what must not leave the host.
        words = f": {error}" if isinstance(error, _OWN_ERRORS) else ""
        self.close("" if error is None else f"{type(error).__name__}{words}")

    def _drain(self) -> Iterator[messages.Frame]:
        """Read until the executor has seen the end: closing at once would lose what is still on its way."""
        try:
            yield from self._incoming
        except grpc.RpcError:
            return

    def _receive(self, expected: Exchange) -> tuple[int, Frame]:
        try:
            message = next(self._incoming)
        except StopIteration:
            raise SessionError(f"the executor at {self._address} ended the session") from None
        except grpc.RpcError as error:
            raise SessionError(f"the executor at {self._address}: {error.details()}") from error
        exchange, client, frame = decode_frame(message, self._wire)
        if exchange is not expected:
            raise SessionError(f"the executor answered {exchange.name} to {expected.name}")
        return client, frame
