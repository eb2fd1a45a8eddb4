"""The six exchanges of a step: what clients send up, and what the server sends down.

A *frame* is what one client sends or receives in one exchange: a few floating-point tensors in the order
that the exchange names. Latent vectors, images and labels are not among them and never cross.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import torch
from torch import Tensor

from huscf_flwr.models import Cut, ModelSpec, NetworkName, Shape

Frame = tuple[Tensor, ...]
"""The tensors of one client in one exchange, each [batch, *shape]."""

Frames = Mapping[int, Frame]
"""Frames by client id."""


@dataclass(frozen=True)
class Computed:
    """What a client has computed between two exchanges."""

    frame: Frame
    """What it sends up."""
    loss: Tensor | None = None
    """The loss, a scalar, that the frame has gradients of. It stays with the host, which looks at it."""


ClientStep = Generator[Computed, Frame, None]
"""A client's half of a step: yields what goes up, and is sent what comes down."""


def resumed(step: ClientStep, received: Frame | None) -> Computed | None:
    """Resume ``step`` with what came down, nothing before its first part; return None at its end."""
    try:
        return next(step) if received is None else step.send(received)
    except StopIteration:
        return None


@dataclass(frozen=True)
class DropOut:
    """Stands where a client's frame would, when the client takes no further part in the session."""

    reason: str


Parcel = Frame | DropOut
"""What one client sends or receives in one exchange."""

Parcels = Mapping[int, Parcel]
"""What a host sends or receives in one exchange, by client id."""

Direction = Literal["up", "down"]
Edge = Literal["head", "tail"]


@dataclass(frozen=True)
class TensorKind:
    """What one tensor of a frame is, from which its shape follows."""

    name: str
    network: NetworkName
    edge: Edge

    def shape(self, spec: ModelSpec, cut: Cut) -> Shape:
        """Shape of one sample of this tensor for a client with ``cut``."""
        shapes = spec.shapes(self.network)
        if self.edge == "head":
            return shapes[cut.head(self.network)]
        return shapes[len(shapes) - 1 - cut.tail(self.network)]


def _kind(name: str, network: NetworkName, edge: Edge) -> TensorKind:
    return TensorKind(name, network, edge)


_GENERATOR_HEAD = _kind("generator head output", "generator", "head")
_GENERATOR_TAIL = _kind("generator tail input", "generator", "tail")
_FAKE_HEAD = _kind("fake head output", "discriminator", "head")
_FAKE_TAIL = _kind("fake tail input", "discriminator", "tail")
_REAL_HEAD = _kind("real head output", "discriminator", "head")
_REAL_TAIL = _kind("real tail input", "discriminator", "tail")


def _gradient(kind: TensorKind) -> TensorKind:
    return TensorKind(f"gradient of {kind.name}", kind.network, kind.edge)


class Exchange(Enum):
    """The exchanges in the order of a step; values number them from one."""

    GENERATE = 1
    DISCRIMINATE = 2
    DISCRIMINATOR_BACKWARD = 3
    CRITICISE = 4
    CRITICISM_BACKWARD = 5
    GENERATOR_BACKWARD = 6

    @property
    def following(self) -> Exchange:
        """The next exchange; after the last of a step, the first of the next step."""
        return Exchange(self.value % len(Exchange) + 1)

    @property
    def up(self) -> tuple[TensorKind, ...]:
        """What each client sends."""
        return _UP[self]

    @property
    def down(self) -> tuple[TensorKind, ...]:
        """What each client receives."""
        return _DOWN[self]

    def kinds(self, direction: Direction) -> tuple[TensorKind, ...]:
        """Return what a frame of this exchange holds in ``direction``."""
        return self.up if direction == "up" else self.down


_UP = {
    Exchange.GENERATE: (_GENERATOR_HEAD,),
    Exchange.DISCRIMINATE: (_FAKE_HEAD, _REAL_HEAD),
    Exchange.DISCRIMINATOR_BACKWARD: (_gradient(_FAKE_TAIL), _gradient(_REAL_TAIL)),
    Exchange.CRITICISE: (_FAKE_HEAD,),
    Exchange.CRITICISM_BACKWARD: (_gradient(_FAKE_TAIL),),
    Exchange.GENERATOR_BACKWARD: (_gradient(_GENERATOR_TAIL),),
}
_DOWN = {
    Exchange.GENERATE: (_GENERATOR_TAIL,),
    Exchange.DISCRIMINATE: (_FAKE_TAIL, _REAL_TAIL),
    Exchange.DISCRIMINATOR_BACKWARD: (_gradient(_FAKE_HEAD), _gradient(_REAL_HEAD)),
    Exchange.CRITICISE: (_FAKE_TAIL,),
    Exchange.CRITICISM_BACKWARD: (_gradient(_FAKE_HEAD),),
    Exchange.GENERATOR_BACKWARD: (_gradient(_GENERATOR_HEAD),),
}


LARGEST_ROOT_MEAN_SQUARE = 4096.0
"""Of the numbers of a tensor that a client sends.

Those of a network that trains are of the order of one. Far larger ones are finite, but what comes of them in
a body, squared by its optimiser, would not be.
"""


class FrameError(ValueError):
    """A frame is not what the protocol allows at this point of the step."""


@dataclass(frozen=True)
class TensorHeader:
    """What can be known of a tensor before its numbers have come."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def check_frame(
    frame: Sequence[Tensor | TensorHeader],
    exchange: Exchange,
    direction: Direction,
    *,
    client: int,
    spec: ModelSpec,
    cut: Cut,
    dtype: torch.dtype,
    batch: int | None = None,
) -> None:
    """Raise ``FrameError`` unless ``frame`` has the tensors that are due.

    The numbers themselves are not looked at. ``batch`` is the number of samples, if it is known already.
    """
    kinds = exchange.kinds(direction)
    if len(frame) != len(kinds):
        raise FrameError(
            f"client {client}, {exchange.name} {direction}: {len(frame)} tensors, expected {len(kinds)}"
        )
    batch = batch or batch_size(frame)
    for kind, tensor in zip(kinds, frame, strict=True):
        expected = (batch, *kind.shape(spec, cut))
        if tuple(tensor.shape) != expected or batch < 1:
            raise FrameError(
                f"client {client}, {kind.name} {direction}: shape {tuple(tensor.shape)}, expected {expected}"
            )
        if tensor.dtype is not dtype:
            raise FrameError(f"client {client}, {kind.name} {direction}: {tensor.dtype}, expected {dtype}")


def batch_size(frame: Sequence[Tensor | TensorHeader]) -> int:
    """Return the number of samples in a frame; 0 for one that has none."""
    return frame[0].shape[0] if frame and frame[0].shape else 0


def immoderate(frames: Frames) -> list[int]:
    """Return the clients in whose frames numbers are not finite, or so large that they could do harm."""
    owners = [client for client, frame in frames.items() for _ in frame]
    tensors = [tensor for frame in frames.values() for tensor in frame]
    norms = numbers_of(_norms(tensors, 2.0))
    most = [LARGEST_ROOT_MEAN_SQUARE * math.sqrt(tensor.numel()) for tensor in tensors]
    harmful = {owner for owner, norm, limit in zip(owners, norms, most, strict=True) if not norm <= limit}
    return sorted(harmful)


def all_finite(frames: Frames) -> bool:
    """Return whether all numbers of all frames are finite."""
    tensors = [tensor for frame in frames.values() for tensor in frame]
    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    # The sum of numbers that are finite is, and a CPU has it twice as fast as any norm.
    seen = [tensor.detach().sum() for tensor in tensors] if on_cpu else _norms(tensors, math.inf)
    return all(map(math.isfinite, numbers_of(seen)))


def _norms(tensors: Sequence[Tensor], order: float) -> Sequence[Tensor]:
    # One operation for hundreds of tensors: on a device, as many small ones take a tenth of a step.
    return torch._foreach_norm([tensor.detach() for tensor in tensors], order) if tensors else []


def numbers_of(scalars: Sequence[Tensor]) -> list[float]:
    """Return the values of ``scalars``, all at once: for each, the device that has it would be waited for."""
    return torch.stack(list(scalars)).tolist() if scalars else []
