"""What can befall a client, put between it and its channel."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass

from huscf_flwr.session import DropOut, Exchange, Parcel
from huscf_flwr.session.wire import GrpcChannel
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire.codec import encode_frame

Packets = list[messages.Packet]

_HALF_SENT_SECONDS = 0.2
_DELAY_SECONDS = 0.5


@dataclass(frozen=True)
class Fault:
    """What befalls a client in which exchange, and when: before, during or after it."""

    kind: str
    exchange: Exchange
    when: str = "before"
    step: int = 2

    @property
    def is_fatal(self) -> bool:
        """Whether it costs the client the round; a delay does not."""
        return self.kind != "delay"


class FaultyChannel:
    """A channel of a host with one client that fails once."""

    def __init__(self, channel: GrpcChannel, fault: Fault) -> None:
        self.exchanges = channel.exchanges
        self._channel, self._fault = channel, fault
        self._step = 0
        self._sent: tuple[int, Parcel] | None = None

    def send(self, exchange: Exchange, client: int, parcel: Parcel) -> None:
        """Send, and fail when it is time."""
        self._step += exchange.number == 1
        self._sent = client, parcel
        when = self._when(exchange)
        if when == "during":
            self._send_half(self._packets(exchange))
        if when in ("before", "during"):
            self._strike(self._packets(exchange))
        self._channel.send(exchange, client, parcel)

    def receive(self, exchange: Exchange) -> tuple[int, Parcel]:
        """Receive, and fail when it is time."""
        received = self._channel.receive(exchange)
        if self._when(exchange) == "after":
            self._strike(self._packets(exchange))
        return received

    def _when(self, exchange: Exchange) -> str:
        is_due = self._step == self._fault.step and exchange == self._fault.exchange
        return self._fault.when if is_due else "never"

    def _packets(self, exchange: Exchange) -> Packets:
        assert self._sent is not None
        client, frame = self._sent
        assert not isinstance(frame, DropOut)
        # Of a copy: the channel itself has still to send the frame.
        return list(encode_frame(exchange, client, frame, deepcopy(self._channel.up_end)))

    def _send_half(self, packets: Packets) -> None:
        frame, data = packets[0].frame, packets[0].data
        self._channel.send_packets([messages.Packet(frame=frame, data=data[: len(data) // 2])])
        time.sleep(_HALF_SENT_SECONDS)

    def _strike(self, packets: Packets) -> None:
        if self._fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._fault.kind == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self._fault.kind == "delay":
            time.sleep(_DELAY_SECONDS)
        else:
            self._channel.send_packets(MALFORMED[self._fault.kind](packets))


def _truncated(packets: Packets) -> Packets:
    cut_short = messages.Packet(frame=packets[0].frame, data=packets[0].data[:-8])
    return [cut_short, *packets]


def _duplicate(packets: Packets) -> Packets:
    return packets * 2


def _reordered(packets: Packets) -> Packets:
    return [messages.Packet(data=packets[0].data), messages.Packet(frame=packets[0].frame)]


def _oversized(packets: Packets) -> Packets:
    packets[-1].data += b"\0" * 8
    return packets


def _wrong_shape(packets: Packets) -> Packets:
    packets[0].frame.tensors[0].shape[0] += 1
    return packets


def _wrong_type(packets: Packets) -> Packets:
    for tensor in packets[0].frame.tensors:
        tensor.dtype = "float32" if tensor.dtype == "float64" else "float64"
    return packets


def _not_finite(packets: Packets) -> Packets:
    packets[0].data = b"\xff" * len(packets[0].data)
    return packets


def _far_too_large(packets: Packets) -> Packets:
    """Begin with 3e38 in bfloat16: where numbers are packed, these are scales."""
    packets[0].data = (b"\x61\x7f" * 4)[: len(packets[0].data)] + packets[0].data[8:]
    return packets


def _infinite(packets: Packets) -> Packets:
    packets[0].data = (b"\x80\x7f" * (len(packets[0].data) // 2 + 1))[: len(packets[0].data)]
    return packets


def _wrong_exchange(packets: Packets) -> Packets:
    packets[0].frame.exchange = 2 if packets[0].frame.exchange == 1 else 1
    return packets


def _another_client(packets: Packets) -> Packets:
    packets[0].frame.client += 1
    return packets


def _noise(packets: Packets) -> Packets:
    return [messages.Packet(data=os.urandom(len(packets[0].data)))]


MALFORMED: Mapping[str, Callable[[Packets], Iterable[messages.Packet]]] = {
    "truncated": _truncated,
    "duplicate": _duplicate,
    "reordered": _reordered,
    "oversized": _oversized,
    "wrong shape": _wrong_shape,
    "wrong type": _wrong_type,
    "not finite": _not_finite,
    "infinite": _infinite,
    "far too large": _far_too_large,
    "wrong exchange": _wrong_exchange,
    "another client": _another_client,
    "noise": _noise,
}
"""What a client could send instead of its frame."""

KINDS = ("kill", "hang", "delay", *MALFORMED)
