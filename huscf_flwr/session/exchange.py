"""Exchanges as data: what clients send up and what the server sends down, one after the other in every step.

A *frame* is what one client sends or receives in one exchange: tensors in the order in which the exchange
lists their kinds, each with the batch as its first axis, or none at all. An *executor* declares the exchanges
of its step, and nothing else crosses.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

Frame = tuple[Tensor, ...]
"""The tensors of one client in one exchange, each [batch, *shape]."""

Frames = Mapping[int, Frame]
"""Frames by client id."""

Losses = Mapping[str, float]
"""Losses of one client by name."""

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")

Role = Literal["activation", "generated", "repeated", "gradient"]
"""What numbers are, as far as it matters to a wire that packs them.

``generated``: activations within a generator, many of them zeros. ``repeated``: they differ little from those
of the same name that crossed before, in the same direction of the same step.
"""


@dataclass(frozen=True)
class Kind:
    """What one tensor of a frame is. Its shape is for the executor to say."""

    name: str
    dtype: torch.dtype | None = None
    """``torch.int64`` for integers, which cross as they are; None for numbers of the executor's type, which
    cross in the wire type."""
    below: int | None = None
    """Integers that a client sends are from zero to less than this, if it is set."""
    role: Role | None = None
    """None if nothing is said of them: then they cross as they are, however the wire packs others."""

    def crosses_as(self, numbers: torch.dtype) -> torch.dtype:
        """Return the type of such a tensor where numbers are of the type ``numbers``."""
        return self.dtype or numbers


@dataclass(frozen=True)
class Exchange:
    """One exchange of a step: all clients send up, and then all are sent an answer."""

    number: int
    """From one, in the order of a step."""
    name: str
    up: tuple[Kind, ...]
    """What each client sends; it may be nothing."""
    down: tuple[Kind, ...]
    """What each client receives; it may be nothing."""

    def kinds(self, direction: Direction) -> tuple[Kind, ...]:
        """Return what a frame of this exchange holds in ``direction``."""
        return self.up if direction == "up" else self.down


ExecutorStep = Generator[Frames, Frames, None]
"""The server's half of a step: yields nothing at first; then, in every exchange, it is sent the frames of all
clients and yields one for each of them."""


class Executor(Protocol):
    """The server's half of a lock-step method."""

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges of a step, numbered from one."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers that it computes with."""
        ...

    @property
    def clients(self) -> Collection[int]:
        """The clients that it knows."""
        ...

    def shape(self, kind: Kind, client: int) -> tuple[int, ...]:
        """Return the shape of one sample of ``kind`` for ``client``."""
        ...

    def step(self, number: int) -> ExecutorStep:
        """Return step ``number`` of the session, from one.

        A client whose frames end within the step has dropped out.
        """
        ...


@dataclass(frozen=True)
class DropOut:
    """Stands where a client's frame would, when the client takes no further part in the session."""

    reason: str


@dataclass(frozen=True)
class Computed:
    """What a client has computed between two exchanges."""

    frame: Frame
    """What it sends up."""
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """Losses that it computed on the way, scalars by name. They stay with the host, which looks at them."""
    leaves: DropOut | None = None
    """Why it takes no further part, if that is so; it is sent in the frame's place."""


ClientStep = Generator[Computed, Frame, None]
"""A client's half of a step: yields what goes up, and is sent what comes down."""


def resumed(step: ClientStep, received: Frame | None) -> Computed | None:
    """Resume ``step`` with what came down, nothing before its first part; return None at its end."""
    try:
        return next(step) if received is None else step.send(received)
    except StopIteration:
        return None


Parcel = Frame | DropOut
"""What one client sends or receives in one exchange."""

Parcels = Mapping[int, Parcel]
"""What a host sends or receives in one exchange, by client id."""


LARGEST_ROOT_MEAN_SQUARE = 4096.0
"""Of the numbers of a tensor that a client sends.

Those of a network that trains are of the order of one. Far larger ones are finite, but what comes of them in
the executor, squared by its optimiser, would not be.
"""


class FrameError(ValueError):
    """A frame is not what the protocol allows at this point of the step."""


@dataclass(frozen=True)
class TensorHeader:
    """What can be known of a tensor before its numbers have come."""

    dtype: torch.dtype
    """``torch.uint8`` of numbers that are packed."""
    shape: tuple[int, ...]
    """Of the tensor, packed or not."""

    @classmethod
    def of(cls, tensor: Tensor) -> TensorHeader:
        """Return the header of a tensor that is there."""
        return cls(tensor.dtype, tuple(tensor.shape))


def check_frame(
    frame: Sequence[Tensor | TensorHeader],
    exchange: Exchange,
    direction: Direction,
    executor: Executor,
    *,
    client: int,
    dtype: torch.dtype,
    batch: int | None = None,
) -> None:
    """Raise ``FrameError`` unless ``frame`` has the tensors that are due, their numbers of type ``dtype``.

    The numbers themselves are not looked at. ``batch`` is the number of samples, if it is known already.
    """
    kinds = exchange.kinds(direction)
    if len(frame) != len(kinds):
        raise FrameError(
            f"client {client}, {exchange.name} {direction}: {len(frame)} tensors, expected {len(kinds)}"
        )
    batch = batch or batch_size(frame)
    for kind, tensor in zip(kinds, frame, strict=True):
        expected = (batch, *executor.shape(kind, client))
        if tuple(tensor.shape) != expected or batch < 1:
            raise FrameError(
                f"client {client}, {kind.name} {direction}: shape {tuple(tensor.shape)}, expected {expected}"
            )
        if tensor.dtype is not kind.crosses_as(dtype):
            raise FrameError(
                f"client {client}, {kind.name} {direction}: {tensor.dtype}, expected {kind.crosses_as(dtype)}"
            )


def check_listed(frame: Frame, exchange: Exchange, direction: Direction, *, client: int) -> None:
    """Raise ``FrameError`` if a frame has tensors that the exchange does not list, or integers for numbers.

    It is what a host can check, which knows the exchanges but not the shapes.
    """
    kinds = exchange.kinds(direction)
    if len(frame) != len(kinds):
        raise FrameError(
            f"client {client}, {exchange.name} {direction}: {len(frame)} tensors, expected {len(kinds)}"
        )
    for kind, tensor in zip(kinds, frame, strict=True):
        fits = tensor.is_floating_point() if kind.dtype is None else tensor.dtype is kind.dtype
        if not fits:
            raise FrameError(
                f"client {client}, {kind.name} {direction}: {tensor.dtype}, expected "
                f"{kind.dtype or 'floating-point numbers'}"
            )


def batch_size(frame: Sequence[Tensor | TensorHeader]) -> int:
    """Return the number of samples in a frame; 0 for one that has none."""
    return frame[0].shape[0] if frame and frame[0].shape else 0


def clients_out_of_bounds(frames: Frames, exchange: Exchange) -> list[int]:
    """Return the clients that sent numbers that are not finite or far too large, or integers out of range."""
    owned = [
        (client, tensor) for client, frame in frames.items() for tensor in frame if tensor.is_floating_point()
    ]
    norms = numbers_of(_norms([tensor for _, tensor in owned], 2.0))
    found = {
        client
        for (client, tensor), norm in zip(owned, norms, strict=True)
        if not norm <= LARGEST_ROOT_MEAN_SQUARE * math.sqrt(tensor.numel())
    }
    for place, kind in enumerate(exchange.up):
        if kind.below is not None:
            found |= {k for k, frame in frames.items() if not _in_range(frame[place], kind.below)}
    return sorted(found)


def all_finite(frames: Frames) -> bool:
    """Return whether all numbers of all frames are finite."""
    tensors = [tensor for frame in frames.values() for tensor in frame if tensor.is_floating_point()]
    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    # The sum of numbers that are finite is, and a CPU has it twice as fast as any norm.
    seen = [tensor.detach().sum() for tensor in tensors] if on_cpu else _norms(tensors, math.inf)
    return all(map(math.isfinite, numbers_of(seen)))


def numbers_of(scalars: Sequence[Tensor]) -> list[float]:
    """Return the values of ``scalars``, all at once: for each, the device that has it would be waited for."""
    return torch.stack(list(scalars)).tolist() if scalars else []


def _norms(tensors: Sequence[Tensor], order: float) -> Sequence[Tensor]:
    # One operation for hundreds of tensors: on a device, as many small ones take a tenth of a step.
    return torch._foreach_norm([tensor.detach() for tensor in tensors], order) if tensors else []


def _in_range(tensor: Tensor, below: int) -> bool:
    return tensor.numel() == 0 or (int(tensor.min()) >= 0 and int(tensor.max()) < below)
