"""Numbers that cross in another type than they are computed in. Integers cross as they are.

``bfloat16`` has the range of ``float32`` and is a plain rounding. ``float16`` has three more bits of
precision but ends at 65,504, and loses them again below 0.00006, where gradients often are. So every tensor
that crosses in ``float16`` is multiplied first by the power of two that brings its largest number just below
32,768, and the exponent travels beside it: nothing overflows, what is 2^29 times smaller than the largest is
still a normal number, and the power itself rounds nothing. A tensor with a number that is not finite crosses
without, so that it is still not finite when it arrives, and the run stops as it would have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.process import dtype_of

_LARGEST_EXPONENT = 15
_LARGEST_SHIFT = 126
MOST_EXPONENT = 1022
"""Largest absolute value of an exponent: beyond it, its power of two is not a normal float64."""


@dataclass(frozen=True)
class WireType:
    """How the numbers of a session cross, the same at both ends."""

    sent: torch.dtype | None = None
    """The type on the wire; ``None`` leaves every tensor in its own."""
    computed: torch.dtype = torch.float32
    """The type that they have again at the other end, if ``sent`` is another."""

    def outgoing(self, tensor: Tensor) -> tuple[Tensor, int]:
        """Return ``tensor`` in the type that is sent, and the exponent of the power of two to undo."""
        if self.sent is None or not tensor.is_floating_point():
            return tensor, 0
        if self.sent is not torch.float16:
            return tensor.to(self.sent), 0
        exponent = _exponent(tensor)
        return (tensor * 2.0**-exponent).to(self.sent), exponent

    def incoming(self, tensor: Tensor, exponent: int = 0) -> Tensor:
        """Return what ``outgoing`` was given, to rounding."""
        if self.sent is None or not tensor.is_floating_point():
            return tensor
        widened = tensor.to(self.computed)
        return widened * 2.0**exponent if exponent else widened

    def crossed(self, frame: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the tensors of ``frame`` as they are at the other end."""
        if self.sent is None:
            return frame
        return tuple(self.incoming(*self.outgoing(tensor)) for tensor in frame)

    def byte_count(self, tensor: Tensor) -> int:
        """Return the bytes that the numbers of ``tensor`` take on the wire."""
        sent = self.sent if tensor.is_floating_point() else None
        return tensor.numel() * (sent or tensor.dtype).itemsize


_SENT = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def wire_type_of(config: RunConfig) -> WireType:
    """Return how the numbers of a run's sessions cross."""
    sent, computed = config.compute.wire_dtype, dtype_of(config)
    return WireType() if sent is None or _SENT[sent] is computed else WireType(_SENT[sent], computed)


def sent_bytes(config: RunConfig) -> int:
    """Return how many bytes a number takes that crosses in a run's sessions."""
    return (wire_type_of(config).sent or dtype_of(config)).itemsize


def _exponent(tensor: Tensor) -> int:
    if tensor.numel() == 0:
        return 0
    largest = float(torch.linalg.vector_norm(tensor, math.inf))
    if largest == 0 or not math.isfinite(largest):
        return 0
    return max(math.frexp(largest)[1] - _LARGEST_EXPONENT, -_LARGEST_SHIFT)
