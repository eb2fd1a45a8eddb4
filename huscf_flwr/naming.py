"""Names and counts within sentences: the first few of a list, words for one or for several, the nearest."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

_MOST_CHANGES = 2
"""Of a slip of the finger; whoever wrote something less alike has another word in mind."""


def first_few(names: Sequence[object], most: int = 5, separator: str = ", ") -> str:
    """Return the first ``most`` names, and how many more there are: ``a, b and 12 more``."""
    more = len(names) - most
    shown = separator.join(map(str, names[:most]))
    return f"{shown} and {more:,} more" if more > 0 else shown


def by_count(count: int, one: str, several: str) -> str:
    """Return the words for ``count`` of something: ``image is`` or ``images are``."""
    return one if count == 1 else several


def clients_named(clients: Collection[int]) -> str:
    """Return ``client 3``, or ``clients 0, 1``."""
    return f"{by_count(len(clients), 'client', 'clients')} {', '.join(map(str, clients))}"


def nearest(word: str, known: Iterable[str], cutoff: float) -> str | None:
    """Return the known word that is most like ``word``, if there is one.

    Words with a similarity below ``cutoff``, from 0 to 1, do not count. Of the others those go first that one
    or two changes of a letter make, the fewest before: a letter more or less, another one, or two neighbours
    swapped.
    """
    words = list(known)
    alike = difflib.get_close_matches(word, words, n=max(1, len(words)), cutoff=cutoff)
    return min(alike, key=lambda each: min(changes(word, each), _MOST_CHANGES + 1), default=None)


def changes(word: str, other: str) -> int:
    """Return how many letters of ``word`` are too many, missing, others or swapped with their neighbours.

    No letter is changed twice: it is the distance of optimal string alignment.
    """
    before, last = list[int](), list(range(len(other) + 1))
    for row, letter in enumerate(word, 1):
        now = [row]
        for column, wanted in enumerate(other, 1):
            least = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and wanted == word[row - 2]:
                least = min(least, before[column - 2] + 1)
            now.append(least)
        before, last = last, now
    return last[-1]
