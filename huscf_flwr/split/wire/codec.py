"""Frames as messages: raw bytes with type and shape, nothing that could be executed.

Convolutions run channels-last, so a tensor in that order keeps it on the wire: what arrives is equal to what
was sent to the bit, and in the same layout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.split.exchange import Exchange, Frame, FrameError
from huscf_flwr.split.wire import split_session_pb2 as messages
from huscf_flwr.split.wire_type import MOST_EXPONENT, WireType

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
_NAMES = {**{dtype: name for name, dtype in _DTYPES.items()}, torch.float16: "float16"}
_AS_COMPUTED = WireType()


def encode_frame(
    exchange: Exchange, client: int, frame: Frame, wire: WireType = _AS_COMPUTED
) -> messages.Frame:
    """Return the message for one client's frame, its numbers in the type of ``wire``."""
    tensors = [encode_tensor(tensor, wire) for tensor in frame]
    return messages.Frame(exchange=exchange.value, client=client, tensors=tensors)


def decode_frame(message: messages.Frame, wire: WireType = _AS_COMPUTED) -> tuple[Exchange, int, Frame]:
    """Return exchange, client and tensors; raises ``FrameError`` for what is not a frame."""
    try:
        exchange = Exchange(message.exchange)
    except ValueError:
        raise FrameError(f"there is no exchange {message.exchange}") from None
    return exchange, message.client, tuple(decode_tensor(tensor, wire) for tensor in message.tensors)


def encode_tensor(tensor: Tensor, wire: WireType = _AS_COMPUTED) -> messages.Tensor:
    """Return the message for one tensor; raises ``FrameError`` for a type that may not cross."""
    if tensor.dtype not in _DTYPES.values():
        raise FrameError(f"a tensor of {tensor.dtype} may not cross; allowed: {', '.join(_DTYPES)}")
    tensor, exponent = wire.outgoing(tensor)
    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    ordered = tensor.permute(0, 2, 3, 1) if channels_last else tensor
    return messages.Tensor(
        dtype=_NAMES[tensor.dtype],
        exponent=exponent,
        shape=ordered.shape,
        channels_last=channels_last,
        data=ordered.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes(),
    )


def decode_tensor(message: messages.Tensor, wire: WireType = _AS_COMPUTED) -> Tensor:
    """Return the tensor; raises ``FrameError`` if type, shape and number of bytes do not agree."""
    dtype = _agreed_dtype(message, wire)
    shape = torch.Size(message.shape)
    expected = shape.numel() * dtype.itemsize
    if len(message.data) != expected or expected == 0:
        raise FrameError(f"{len(message.data)} bytes for {tuple(shape)} of {message.dtype}, not {expected}")
    if message.channels_last and len(shape) != 4:
        raise FrameError(f"a tensor of shape {tuple(shape)} has no channels to come last")
    tensor = torch.frombuffer(bytearray(message.data), dtype=dtype).view(shape)
    ordered = tensor.permute(0, 3, 1, 2) if message.channels_last else tensor
    return wire.incoming(ordered, message.exponent)


def _agreed_dtype(message: messages.Tensor, wire: WireType) -> torch.dtype:
    allowed = _DTYPES if wire.sent is None else {_NAMES[wire.sent]: wire.sent}
    if message.dtype not in allowed:
        raise FrameError(f"a tensor of type '{message.dtype}' may not cross; allowed: {', '.join(allowed)}")
    if abs(message.exponent) > (MOST_EXPONENT if message.dtype == "float16" else 0):
        raise FrameError(f"exponent {message.exponent} of a tensor of {message.dtype} is out of range")
    return allowed[message.dtype]
