"""Flower Strategies, one method a file.

A strategy is imported when it is asked for: ClientApps start anew for each message, and need messages only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strategies.huscf import HuSCF

__all__ = ["HuSCF"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("strategies.huscf"), name)
