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
from huscf_flwr.session.packing import PackedForm
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire.shared_memory import Region
from huscf_flwr.session.wire_end import SentTensor, WireEnd
from huscf_flwr.session.wire_type import MOST_EXPONENT, WireType

PACKET_BYTES = 2**20
"""Most bytes of numbers in one packet."""
MESSAGE_BYTES = PACKET_BYTES + 2**16
"""Most bytes of one gRPC message."""
MOST_FRAME_BYTES = 2**34
"""Most bytes of one frame, where nothing else bounds its size: on the wire, and unpacked."""
MOST_AXES = 8
"""Most axes of one tensor."""
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
_PACKED = "packed"
"""Name of numbers that are packed, in the form that both ends know."""

Expect = Callable[[int, Exchange, Sequence[TensorHeader]], None]
"""Raises ``FrameError`` for a client's frame that is not due, by what is known before its numbers come."""


def encode_frame(
    exchange: Exchange,
    client: int,
    parcel: Frame | DropOut,
    end: WireEnd | None = None,
    region: Region | None = None,
) -> Iterator[messages.Packet]:
    """Yield the packets of one client's frame, its numbers as ``end`` has them; without it, as they are.

    They are put into ``region``, if there is one and it has room, and else into the packets.
    Raises ``FrameError`` for a tensor of a type that may not cross.
    """
    frame = messages.Frame(exchange=exchange.number, client=client)
    if isinstance(parcel, DropOut):
        frame.drop_out = parcel.reason[:REASON_CHARACTERS] or "no reason given"
        yield messages.Packet(frame=frame)
        return
    for tensor in parcel:
        if tensor.dtype not in _DTYPES.values():
            raise FrameError(f"a tensor of {tensor.dtype} may not cross; allowed: {', '.join(_DTYPES)}")
    sent = (end or _as_computed()).outgoing(exchange, client, parcel)
    frame.tensors.extend(map(_described, sent))
    numbers = [each.numbers for each in sent]
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
        end: WireEnd | None = None,
        region: Region | None = None,
    ) -> None:
        """Read frames of ``exchanges`` that ``expect`` lets in, and give their numbers as ``end`` does.

        ``region`` is where those lie that came without numbers.
        """
        self._exchanges = {exchange.number: exchange for exchange in exchanges}
        self._expect = expect
        self._end = end or _as_computed()
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
                return self._complete(growing, growing.lying_at(packet.frame.place, self._region))
            growing.make_room()
            self._growing = growing
        if self._growing is None:
            raise FrameError("numbers came without a frame")
        self._growing.add(packet.data)
        if not self._growing.complete:
            return None
        complete, self._growing = self._growing, None
        return self._complete(complete, complete.tensors())

    def _complete(
        self, growing: _GrowingFrame, sent: Sequence[SentTensor]
    ) -> tuple[Exchange, int, Frame | DropOut]:
        exchange, client = growing.exchange, growing.client
        return exchange, client, self._end.incoming(exchange, client, sent)

    def _exchange(self, frame: messages.Frame) -> Exchange:
        if frame.exchange not in self._exchanges:
            raise FrameError(f"there is no exchange {frame.exchange}")
        return self._exchanges[frame.exchange]

    def _begin(self, exchange: Exchange, frame: messages.Frame) -> _GrowingFrame:
        # Before anything is made of them: the product of many axes would take minutes.
        if any(len(tensor.shape) > MOST_AXES for tensor in frame.tensors):
            raise FrameError(f"{exchange.name}: a tensor may have {MOST_AXES} axes at most")
        kinds = self._end.kinds(exchange)
        # Whether there are as many as are due is for ``expect`` to say.
        due = [*kinds, *[None] * (len(frame.tensors) - len(kinds))]
        forms = [
            None if kind is None else self._end.wire.form(kind, math.prod(tensor.shape))
            for kind, tensor in zip(due, frame.tensors, strict=False)
        ]
        headers = [
            _header(tensor, self._end.wire, form) for tensor, form in zip(frame.tensors, forms, strict=False)
        ]
        self._expect(frame.client, exchange, headers)
        if len({header.dtype for header in headers if header.dtype.is_floating_point}) > 1:
            raise FrameError(f"client {frame.client}, {exchange.name}: tensors of different types")
        parts = list(map(_Part, frame.tensors, headers, forms))
        growing = _GrowingFrame(exchange, frame.client, parts)
        most = max(growing.byte_count, sum(part.computed_byte_count for part in parts))
        if most > MOST_FRAME_BYTES:
            raise FrameError(f"client {frame.client}, {exchange.name}: {most} bytes are too many")
        return growing


class _GrowingFrame:
    """A frame whose numbers are still coming."""

    def __init__(
        self,
        exchange: Exchange,
        client: int,
        parts: Sequence[_Part],
    ) -> None:
        self.exchange = exchange
        self.client = client
        self._parts = parts
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

    def tensors(self) -> list[SentTensor]:
        """Return the tensors."""
        return self._tensors(torch.split(self._numbers, self._sizes))

    def lying_at(self, place: int, region: Region | None) -> list[SentTensor]:
        """Return the tensors, whose numbers are in ``region``; raises ``FrameError`` if they are not."""
        if region is None:
            raise FrameError(f"client {self.client}, {self.exchange.name}: there is no shared memory")
        return self._tensors(region.read(place, self._sizes))

    @property
    def _sizes(self) -> list[int]:
        return [part.byte_count for part in self._parts]

    def _tensors(self, pieces: Iterable[Tensor]) -> list[SentTensor]:
        return [part.tensor(piece) for part, piece in zip(self._parts, pieces, strict=True)]


@dataclass(frozen=True)
class _Part:
    """One tensor of a growing frame."""

    described: messages.Tensor
    header: TensorHeader
    form: PackedForm | None
    """How its numbers are packed, if they are."""

    @property
    def byte_count(self) -> int:
        count = math.prod(self.header.shape)
        return count * self.header.dtype.itemsize if self.form is None else self.form.byte_count(count)

    @property
    def computed_byte_count(self) -> int:
        """Bytes of its numbers once they are unpacked, which may be 32 times as many."""
        return self.byte_count if self.form is None else 4 * math.prod(self.header.shape)

    def tensor(self, numbers: Tensor) -> SentTensor:
        described, shape = self.described, tuple(self.described.shape)
        if self.form is not None:
            return SentTensor(numbers, shape, described.channels_last, form=self.form)
        if numbers.storage_offset() % self.header.dtype.itemsize:
            # Integers behind a few numbers of another size: a view must begin at a multiple of their own.
            numbers = numbers.clone()
        ordered = numbers.view(self.header.dtype).view(shape)
        return SentTensor(ordered, shape, described.channels_last, described.exponent)


def _as_computed() -> WireEnd:
    return WireEnd(WireType(), (), "up")


def _described(sent: SentTensor) -> messages.Tensor:
    return messages.Tensor(
        dtype=_NAMES[sent.numbers.dtype] if sent.form is None else _PACKED,
        exponent=sent.exponent,
        shape=sent.shape,
        channels_last=sent.channels_last,
    )


def _allowed(wire: WireType, form: PackedForm | None) -> dict[str, torch.dtype]:
    """Return the types that a tensor may have whose numbers are to be in ``form``, by name."""
    if form is not None:
        return {_PACKED: torch.uint8}
    if wire.packing is not None:
        return _INTEGERS
    return _DTYPES if wire.sent is None else {_NAMES[wire.sent]: wire.sent, **_INTEGERS}


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


def _header(message: messages.Tensor, wire: WireType, form: PackedForm | None) -> TensorHeader:
    """Return type and shape; raises ``FrameError`` if they do not agree with each other or with ``wire``."""
    allowed = _allowed(wire, form)
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
