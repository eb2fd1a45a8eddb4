"""Lists of names within sentences, of which a person wants the first few, and to know how many there are."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(names: Sequence[object], most: int = 5, separator: str = ", ") -> str:
    """Return the first ``most`` names, and how many more there are: ``a, b and 12 more``."""
    more = len(names) - most
    shown = separator.join(map(str, names[:most]))
    return f"{shown} and {more:,} more" if more > 0 else shown
