"""Several parts of a state in one mapping of tensors: each has a prefix of its own before its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

Named = TypeVar("Named")
"""A tensor, or what is said of one."""


def with_prefix(prefix: str, tensors: Mapping[str, Named]) -> dict[str, Named]:
    """Return ``tensors`` with ``prefix`` before every name."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def below_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of ``tensors`` whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
