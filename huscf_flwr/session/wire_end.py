"""One end of a way that frames take in one direction: what is a tensor here, and bytes on the wire.

Both ends go through the same frames of a client in the same order. So both know which step a frame belongs
to, which names the stream of its signs, and what of the step has crossed before: numbers that cross again,
a little different, are sent as the difference to what has *arrived* of the first ones. So their error is that
of the difference alone, and what was lost of the first is in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from huscf_flwr.seeding import torch_stream
from huscf_flwr.session.exchange import Direction, Exchange, Frame, FrameError, Kind
from huscf_flwr.session.packing import PackedForm, pack, unpack
from huscf_flwr.session.wire_type import WireType


@dataclass(frozen=True)
class SentTensor:
    """A tensor as it crosses."""

    numbers: Tensor
    """Of the shape and in the order in which they cross; the bytes of packed ones, flat."""
    shape: tuple[int, ...]
    """In the order in which it crosses."""
    channels_last: bool
    """Whether that is with the channels, the second of four axes, moved to the end."""
    exponent: int = 0
    """See ``WireType.outgoing``."""
    form: PackedForm | None = None
    """How numbers are packed, if they are."""


@dataclass
class _Step:
    """How far a client is."""

    number: int = 0
    exchange: int = 0
    crossed: dict[str, Tensor] = field(default_factory=dict)
    """What arrived in this step of the numbers that cross again, by name."""


@dataclass(frozen=True)
class _Place:
    """A tensor's place in a session."""

    client: int
    step: _Step
    exchange: Exchange
    position: int
    kind: Kind


class WireEnd:
    """What is sent, or what arrives, in one direction; to be called with every frame of a client in turn."""

    def __init__(self, wire: WireType, exchanges: Sequence[Exchange], direction: Direction) -> None:
        """Begin with the first of ``exchanges``, those of a step."""
        self.wire = wire
        self._direction = direction
        self._steps: dict[int, _Step] = {}
        self._last = {
            kind.name: exchange.number
            for exchange in exchanges
            for kind in exchange.kinds(direction)
            if kind.role == "repeated"
        }
        """In which exchange numbers cross for the last time that do so again in a step, by name."""

    def kinds(self, exchange: Exchange) -> tuple[Kind, ...]:
        """Return what a frame of ``exchange`` holds in this direction."""
        return exchange.kinds(self._direction)

    def outgoing(self, exchange: Exchange, client: int, frame: Frame) -> list[SentTensor]:
        """Return the tensors of ``frame`` as they cross."""
        if self.wire.packing is None:
            return [self._plain(tensor) for tensor in frame]
        sent = []
        for place, tensor in zip(self._places(exchange, client, frame), frame, strict=True):
            sent.append(self._packed(place, tensor))
            if self._comes_again(place):
                # The other end's numbers are needed here too: a difference is sent to them.
                self._arrived(place, sent[-1])
        return sent

    def incoming(self, exchange: Exchange, client: int, sent: Sequence[SentTensor]) -> Frame:
        """Return a frame whose tensors have crossed; raises ``FrameError`` without what they differ from."""
        if self.wire.packing is None:
            return tuple(self.wire.incoming(_in_place(each), each.exponent) for each in sent)
        places = self._places(exchange, client, sent)
        return tuple(self._arrived(place, each) for place, each in zip(places, sent, strict=True))

    def crossed(self, exchange: Exchange, client: int, frame: Frame) -> Frame:
        """Return the tensors of ``frame`` as they are at the other end, where there is no wire between."""
        if self.wire.packing is None:
            return self.wire.crossed(frame)
        places = self._places(exchange, client, frame)
        return tuple(
            self._arrived(place, self._packed(place, tensor))
            for place, tensor in zip(places, frame, strict=True)
        )

    def _places(self, exchange: Exchange, client: int, tensors: Sequence[object]) -> list[_Place]:
        kinds = self.kinds(exchange)
        if len(tensors) != len(kinds):
            raise FrameError(
                f"client {client}, {exchange.name} {self._direction}: {len(tensors)} tensors, expected "
                f"{len(kinds)}"
            )
        step = self._steps.setdefault(client, _Step())
        if exchange.number <= step.exchange or step.number == 0:
            step.number += 1
            step.crossed.clear()
        step.exchange = exchange.number
        return [_Place(client, step, exchange, position, kind) for position, kind in enumerate(kinds)]

    def _plain(self, tensor: Tensor) -> SentTensor:
        narrowed, exponent = self.wire.outgoing(tensor.detach())
        ordered, channels_last = _in_order(narrowed)
        return SentTensor(ordered, tuple(ordered.shape), channels_last, exponent)

    def _packed(self, place: _Place, tensor: Tensor) -> SentTensor:
        form = self.wire.form(place.kind, tensor.numel())
        if form is None:
            return self._plain(tensor)
        if not tensor.is_floating_point():
            raise FrameError(f"client {place.client}, {place.kind.name}: {tensor.dtype} cannot be packed")
        first = self._first(place, form, tensor.shape)
        ordered, channels_last = _in_order(tensor.detach() if first is None else tensor.detach() - first)
        numbers = pack(ordered.flatten(), form, self._stream(place))
        return SentTensor(numbers, tuple(ordered.shape), channels_last, form=form)

    def _arrived(self, place: _Place, sent: SentTensor) -> Tensor:
        if sent.form is None:
            return _in_place(sent)
        numbers = unpack(sent.numbers, math.prod(sent.shape), sent.form, self._stream(place))
        ordered = numbers.to(self.wire.computed).view(sent.shape)
        tensor = _in_place(SentTensor(ordered, sent.shape, sent.channels_last))
        first = self._first(place, sent.form, tensor.shape)
        if first is not None:
            tensor = first + tensor
        if self._comes_again(place):
            place.step.crossed[place.kind.name] = tensor
        return tensor

    def _comes_again(self, place: _Place) -> bool:
        """Return whether a difference to these numbers is sent later in the step."""
        return place.exchange.number < self._last.get(place.kind.name, 0)

    def _first(self, place: _Place, form: PackedForm, shape: torch.Size) -> Tensor | None:
        """Return what a tensor is sent as the difference to, if it is."""
        if place.kind.role != "repeated" or form.group == 1:
            return None
        first = place.step.crossed.get(place.kind.name)
        if first is None or first.shape != shape:
            raise FrameError(
                f"client {place.client}, {place.kind.name}: shape {tuple(shape)}, but what crossed before "
                f"has {None if first is None else tuple(first.shape)}"
            )
        return first

    def _stream(self, place: _Place) -> torch.Generator:
        packing = self.wire.packing
        assert packing is not None
        path = (place.client, packing.round_number, place.step.number, place.exchange.number)
        return torch_stream(packing.seed, "wire", *path, self._direction, place.position)


def _in_order(tensor: Tensor) -> tuple[Tensor, bool]:
    """Return the tensor with its axes in the order in which it lies in memory, and so crosses."""
    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return (tensor.permute(0, 2, 3, 1) if channels_last else tensor), channels_last


def _in_place(sent: SentTensor) -> Tensor:
    """Return the tensor with its axes in the order of its shape."""
    return sent.numbers.permute(0, 3, 1, 2) if sent.channels_last else sent.numbers
