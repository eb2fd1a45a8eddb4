"""Frames as packets: raw bytes with type and shape, nothing that could be executed.

Convolutions run channels-last, so a tensor in that order keeps it on the wire: what arrives is equal to what
was sent to the bit, and in the same layout. A frame of any size goes in packets of a bounded one, and nothing
is set aside for its numbers before they are known to be due.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.session.exchange import DropOut, Exchange, Frame, FrameError, TensorHeader
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire.shared_memory import Region
from huscf_flwr.session.wire_type import MOST_EXPONENT, WireType

PACKET_BYTES = 2**20
"""Most bytes of numbers in one packet."""
MESSAGE_BYTES = PACKET_BYTES + 2**16
"""Most bytes of one gRPC message."""
MOST_FRAME_BYTES = 2**34
"""Most bytes of one frame, where nothing else bounds its size."""
REASON_CHARACTERS = 500
"""Most characters of a reason to drop out or to leave."""

_INTEGERS = {"int64": torch.int64}
_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    **_INTEGERS,
}
_NAMES = {**{dtype: name for name, dtype in _DTYPES.items()}, torch.float16: "float16"}
_AS_COMPUTED = WireType()

Expect = Callable[[int, Exchange, Sequence[TensorHeader]], None]
"""Raises ``FrameError`` for a client's frame that is not due, by what is known before its numbers come."""


def encode_frame(
    exchange: Exchange,
    client: int,
    parcel: Frame | DropOut,
    wire: WireType = _AS_COMPUTED,
    region: Region | None = None,
) -> Iterator[messages.Packet]:
    """Yield the packets of one client's frame, its numbers in the type of ``wire``.

    They are put into ``region``, if there is one and it has room, and else into the packets.
    Raises ``FrameError`` for a tensor of a type that may not cross.
    """
    frame = messages.Frame(exchange=exchange.number, client=client)
    if isinstance(parcel, DropOut):
        frame.drop_out = parcel.reason[:REASON_CHARACTERS] or "no reason given"
        yield messages.Packet(frame=frame)
        return
    numbers = []
    for tensor in parcel:
        message, ordered = _encode_tensor(tensor, wire)
        frame.tensors.append(message)
        numbers.append(ordered)
    place = None if region is None else region.write(exchange, client, numbers)
    if place is not None:
        frame.place = place
        yield messages.Packet(frame=frame)
        return
    pieces = _pieces([_bytes(ordered) for ordered in numbers])
    yield messages.Packet(frame=frame, data=next(pieces, b""))
    for piece in pieces:
        yield messages.Packet(data=piece)


class FrameReader:
    """Puts the packets of one stream together."""

    def __init__(
        self,
        exchanges: Iterable[Exchange],
        expect: Expect,
        wire: WireType = _AS_COMPUTED,
        region: Region | None = None,
    ) -> None:
        """Read frames of ``exchanges`` that ``expect`` lets in.

        ``region`` is where those lie that came without numbers.
        """
        self._exchanges = {exchange.number: exchange for exchange in exchanges}
        self._expect = expect
        self._wire = wire
        self._region = region
        self._growing: _GrowingFrame | None = None

    def add(self, packet: messages.Packet) -> tuple[Exchange, int, Frame | DropOut] | None:
        """Take the next packet; return exchange, client and frame if that completes one.

        Raises ``FrameError`` for what is not a frame, or not the one that is due.
        """
        if packet.HasField("frame"):
            if self._growing is not None:
                raise FrameError("a frame begins before the last one is complete")
            exchange = self._exchange(packet.frame)
            if packet.frame.drop_out:
                return exchange, packet.frame.client, DropOut(packet.frame.drop_out[:REASON_CHARACTERS])
            growing = self._begin(exchange, packet.frame)
            if packet.frame.HasField("place"):
                return (
                    exchange,
                    growing.client,
                    growing.lying_at(packet.frame.place, self._region, self._wire),
                )
            growing.make_room()
            self._growing = growing
        if self._growing is None:
            raise FrameError("numbers came without a frame")
        self._growing.add(packet.data)
        if not self._growing.complete:
            return None
        complete, self._growing = self._growing, None
        return complete.exchange, complete.client, complete.tensors(self._wire)

    def _exchange(self, frame: messages.Frame) -> Exchange:
        if frame.exchange not in self._exchanges:
            raise FrameError(f"there is no exchange {frame.exchange}")
        return self._exchanges[frame.exchange]

    def _begin(self, exchange: Exchange, frame: messages.Frame) -> _GrowingFrame:
        headers = [_header(tensor, self._wire) for tensor in frame.tensors]
        self._expect(frame.client, exchange, headers)
        if len({header.dtype for header in headers if header.dtype.is_floating_point}) > 1:
            raise FrameError(f"client {frame.client}, {exchange.name}: tensors of different types")
        growing = _GrowingFrame(exchange, frame.client, list(frame.tensors), headers)
        if growing.byte_count > MOST_FRAME_BYTES:
            raise FrameError(
                f"client {frame.client}, {exchange.name}: {growing.byte_count} bytes are too many"
            )
        return growing


class _GrowingFrame:
    """A frame whose numbers are still coming."""

    def __init__(
        self,
        exchange: Exchange,
        client: int,
        described: Sequence[messages.Tensor],
        headers: Sequence[TensorHeader],
    ) -> None:
        self.exchange = exchange
        self.client = client
        self._parts = [_Part(*pair) for pair in zip(described, headers, strict=True)]
        self.byte_count = sum(part.byte_count for part in self._parts)
        self._filled = 0

    def make_room(self) -> None:
        """Set memory aside."""
        self._numbers = torch.empty(self.byte_count, dtype=torch.uint8)
        self._memory = self._numbers.numpy().data

    @property
    def complete(self) -> bool:
        """Whether all numbers are there."""
        return self._filled == self.byte_count

    def add(self, data: bytes) -> None:
        """Take more of the numbers; raises ``FrameError`` if there are too many, or none."""
        if len(data) > self.byte_count - self._filled or (not data and not self.complete):
            raise FrameError(f"client {self.client}, {self.exchange.name}: {len(data)} bytes are not due")
        self._memory[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def tensors(self, wire: WireType) -> Frame:
        """Return the tensors."""
        return self._tensors(torch.split(self._numbers, self._sizes), wire)

    def lying_at(self, place: int, region: Region | None, wire: WireType) -> Frame:
        """Return the tensors, whose numbers are in ``region``; raises ``FrameError`` if they are not."""
        if region is None:
            raise FrameError(f"client {self.client}, {self.exchange.name}: there is no shared memory")
        return self._tensors(region.read(place, self._sizes), wire)

    @property
    def _sizes(self) -> list[int]:
        return [part.byte_count for part in self._parts]

    def _tensors(self, pieces: Iterable[Tensor], wire: WireType) -> Frame:
        return tuple(part.tensor(piece, wire) for part, piece in zip(self._parts, pieces, strict=True))


@dataclass(frozen=True)
class _Part:
    """One tensor of a growing frame."""

    described: messages.Tensor
    header: TensorHeader

    @property
    def byte_count(self) -> int:
        return math.prod(self.header.shape) * self.header.dtype.itemsize

    def tensor(self, numbers: Tensor, wire: WireType) -> Tensor:
        if numbers.storage_offset() % self.header.dtype.itemsize:
            # Integers behind a few numbers of another size: a view must begin at a multiple of their own.
            numbers = numbers.clone()
        ordered = numbers.view(self.header.dtype).view(torch.Size(self.described.shape))
        tensor = ordered.permute(0, 3, 1, 2) if self.described.channels_last else ordered
        return wire.incoming(tensor, self.described.exponent)


def _encode_tensor(tensor: Tensor, wire: WireType) -> tuple[messages.Tensor, Tensor]:
    """Return what the tensor is, and its numbers in the order in which they cross."""
    if tensor.dtype not in _DTYPES.values():
        raise FrameError(f"a tensor of {tensor.dtype} may not cross; allowed: {', '.join(_DTYPES)}")
    tensor, exponent = wire.outgoing(tensor.detach())
    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    ordered = tensor.permute(0, 2, 3, 1) if channels_last else tensor
    message = messages.Tensor(
        dtype=_NAMES[tensor.dtype], exponent=exponent, shape=ordered.shape, channels_last=channels_last
    )
    return message, ordered


def _bytes(ordered: Tensor) -> memoryview:
    return ordered.cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _pieces(numbers: Sequence[memoryview]) -> Iterator[bytes]:
    """Cut the bytes into pieces of bounded size; what fits into one goes as one."""
    if sum(map(len, numbers)) <= PACKET_BYTES:
        yield b"".join(numbers)
        return
    for data in numbers:
        for start in range(0, len(data), PACKET_BYTES):
            yield bytes(data[start : start + PACKET_BYTES])


def _header(message: messages.Tensor, wire: WireType) -> TensorHeader:
    """Return type and shape; raises ``FrameError`` if they do not agree with each other or with ``wire``."""
    allowed = _DTYPES if wire.sent is None else {_NAMES[wire.sent]: wire.sent, **_INTEGERS}
    if message.dtype not in allowed:
        raise FrameError(f"a tensor of type '{message.dtype}' may not cross; allowed: {', '.join(allowed)}")
    if abs(message.exponent) > (MOST_EXPONENT if message.dtype == "float16" else 0):
        raise FrameError(f"exponent {message.exponent} of a tensor of {message.dtype} is out of range")
    shape = tuple(message.shape)
    if message.channels_last:
        if len(shape) != 4:
            raise FrameError(f"a tensor of shape {shape} has no channels to come last")
        shape = (shape[0], shape[3], shape[1], shape[2])
    return TensorHeader(allowed[message.dtype], shape)
