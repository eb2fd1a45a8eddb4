"""Names and counts within sentences: the first few of a list, and words for one or for several."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(names: Sequence[object], most: int = 5, separator: str = ", ") -> str:
    """Return the first ``most`` names, and how many more there are: ``a, b and 12 more``."""
    more = len(names) - most
    shown = separator.join(map(str, names[:most]))
    return f"{shown} and {more:,} more" if more > 0 else shown


def by_count(count: int, one: str, several: str) -> str:
    """Return the words for ``count`` of something: ``image is`` or ``images are``."""
    return one if count == 1 else several
