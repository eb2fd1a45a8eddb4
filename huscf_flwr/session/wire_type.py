"""Numbers that cross in another type than they are computed in. Integers cross as they are.

``bfloat16`` has the range of ``float32`` and is a plain rounding. ``float16`` has three more bits of
precision but ends at 65,504, and loses them again below 0.00006, where gradients often are. So every tensor
that crosses in ``float16`` is multiplied first by the power of two that brings its largest number just below
32,768, and the exponent travels beside it: nothing overflows, what is 2^29 times smaller than the largest is
still a normal number, and the power itself rounds nothing. A tensor with a number that is not finite crosses
without, so that it is still not finite when it arrives, and the run stops as it would have.

Or numbers are *packed* into a few bits each, how many depending on what they are: see ``packing``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig, WirePreset, WireUploads
from huscf_flwr.process import dtype_of
from huscf_flwr.session.exchange import Kind, Role, TensorHeader
from huscf_flwr.session.packing import PackedForm

_LARGEST_EXPONENT = 15
_LARGEST_SHIFT = 126
MOST_EXPONENT = 1022
"""Largest absolute value of an exponent: beyond it, its power of two is not a normal float64."""


@dataclass(frozen=True)
class Packing:
    """How numbers are packed by what they are, and the name of the streams that signs are drawn from."""

    forms: Mapping[Role, PackedForm]
    seed: int = 0
    round_number: int = 0


_SMALL: Mapping[Role, PackedForm] = {
    "activation": PackedForm(8),
    "generated": PackedForm(8),
    "repeated": PackedForm(4, rotated=True),
    "gradient": PackedForm(4, rotated=True),
}
_SMALLEST: Mapping[Role, PackedForm] = {
    "activation": PackedForm(4),
    # Half of them are zeros, which are on a level: 3 bits are as close as 4 for others.
    "generated": PackedForm(3),
    "repeated": PackedForm(1, rotated=True),
    "gradient": PackedForm(3, rotated=True),
}

_PACKING_WORK: Mapping[WirePreset, float] = {"exact": 0.0, "half": 0.35, "small": 1.0, "smallest": 1.0}
"""What each end computes for a number, where ``smallest`` takes 1.

Core seconds of the local channel in ``huscf bench exchange``, those of ``exact`` taken off.
"""

_UPLOADS: Mapping[WireUploads, PackedForm | None] = {
    "exact": None,
    "bfloat16": PackedForm(16),
    "8-bits": PackedForm(8),
}


@dataclass(frozen=True)
class WireType:
    """How the numbers of a session cross, the same at both ends."""

    sent: torch.dtype | None = None
    """``torch.float16``; ``None`` leaves every tensor in its own type."""
    computed: torch.dtype = torch.float32
    """The type that they have again at the other end, if ``sent`` is another, or they are packed."""
    packing: Packing | None = None
    """Takes the place of ``sent``."""

    def form(self, kind: Kind, count: int) -> PackedForm | None:
        """Return how the ``count`` numbers of a tensor of ``kind`` are packed, if this wire packs numbers.

        As they are, each by itself, if nothing is said of what they are, or if they do not fill a group:
        what that would save is nothing beside other tensors.
        """
        if self.packing is None or kind.dtype is not None:
            return None
        form = None if kind.role is None else self.packing.forms[kind.role]
        if form is None or count < form.group:
            return PackedForm(8 * self.computed.itemsize)
        return form

    def outgoing(self, tensor: Tensor) -> tuple[Tensor, int]:
        """Return ``tensor`` in the type that is sent, and the exponent of the power of two to undo."""
        if self.sent is None or not tensor.is_floating_point():
            return tensor, 0
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

    def header_dtype(self, computed: torch.dtype) -> torch.dtype:
        """Return the type in the headers of tensors that are computed in the type ``computed``."""
        return torch.uint8 if self.packing is not None else self.sent or computed

    def byte_count(self, kind: Kind, tensor: Tensor | TensorHeader) -> int:
        """Return the bytes that the numbers of a tensor of ``kind``, as it is computed, take on the wire."""
        count = math.prod(tensor.shape)
        form = self.form(kind, count)
        if form is not None:
            return form.byte_count(count)
        sent = self.sent if tensor.dtype.is_floating_point else None
        return count * (sent or tensor.dtype).itemsize


def wire_type_of(config: RunConfig, round_number: int) -> WireType:
    """Return how the numbers of the session of a run's round cross."""
    return wire_type(config.wire.chosen, dtype_of(config), config.seed, round_number)


def wire_type(
    preset: WirePreset, computed: torch.dtype = torch.float32, seed: int = 0, round_number: int = 0
) -> WireType:
    """Return how numbers cross that are of the type ``computed``, for one of the presets."""
    if preset == "half":
        return WireType(torch.float16, computed)
    if preset == "exact":
        return WireType()
    forms = _SMALL if preset == "small" else _SMALLEST
    return WireType(computed=computed, packing=Packing(forms, seed, round_number))


@dataclass(frozen=True)
class SentBytes:
    """What a number takes that crosses: bytes by what it is, if packed, in a tensor of many; and work."""

    activation: float = 4
    generated: float = 4
    repeated: float = 4
    gradient: float = 4
    upload: float = 4
    """Of a weight that a client sends after a round."""
    packing: float = 0.0
    """What each end computes for a number in a session, in parts of the ``packing_ns`` of its profile."""
    activation_group: int = 1
    """How many activations are packed together: fewer in a tensor cross as they are."""
    gradient_group: int = 1
    unpacked: float = 4
    """Of a number in a tensor that fills no group."""


def sent_bytes(config: RunConfig) -> SentBytes:
    """Return how many bytes numbers take that cross in a run's sessions."""
    form = upload_form(config)
    found = sent_bytes_by(config.wire.chosen, dtype_of(config))
    return found if form is None else replace(found, upload=form.bytes_per_number)


def sent_bytes_by(preset: WirePreset, computed: torch.dtype = torch.float32) -> SentBytes:
    """Return how many bytes numbers take that cross in a session by ``preset``, of type ``computed``."""
    wire, work = wire_type(preset, computed), _PACKING_WORK[preset]
    if wire.packing is None:
        same = (wire.sent or computed).itemsize
        return SentBytes(same, same, same, same, packing=work)
    forms = wire.packing.forms
    sizes = {role: form.bytes_per_number for role, form in forms.items()}
    return SentBytes(
        **sizes,
        packing=work,
        activation_group=forms["activation"].group,
        gradient_group=forms["gradient"].group,
        unpacked=computed.itemsize,
    )


def upload_form(config: RunConfig) -> PackedForm | None:
    """Return how differences are packed that clients upload after a round; None if nothing is."""
    return _UPLOADS[config.wire.uploads]


def _exponent(tensor: Tensor) -> int:
    if tensor.numel() == 0:
        return 0
    largest = float(torch.linalg.vector_norm(tensor, math.inf))
    if largest == 0 or not math.isfinite(largest):
        return 0
    return max(math.frexp(largest)[1] - _LARGEST_EXPONENT, -_LARGEST_SHIFT)
