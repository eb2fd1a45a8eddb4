"""Damaged pictures of a place, gathered while it is read, so that all are named at once.

Whoever is told of one repairs it and starts again, and would be told of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from huscf_flwr.data.images import DataError
from huscf_flwr.naming import first_few

_MOST_NAMED = 5


class DamagedPicturesError(DataError):
    """Pictures cannot be read; ``faults`` has what is wrong with each, a line that begins with its name."""

    def __init__(self, message: str, faults: Mapping[str, str]) -> None:
        super().__init__(message)
        self.faults = dict(faults)


class Damage:
    """What is wrong with the pictures of a place, which begins the error about several."""

    def __init__(self, place: object) -> None:
        self._place = place
        self._faults: dict[str, str] = {}

    @contextmanager
    def noted(self, picture: object) -> Iterator[None]:
        """Take note of a ``DataError`` about one picture instead of raising it."""
        try:
            yield
        except DataError as error:
            self._faults.setdefault(str(picture), str(error))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Take note of the damaged pictures of a part of the place; other errors are raised."""
        try:
            yield
        except DamagedPicturesError as error:
            self._faults |= error.faults

    def refuse(self) -> None:
        """Raise ``DamagedPicturesError`` if anything was wrong: how many, and the first few."""
        if not self._faults:
            return
        names, faults = list(self._faults), list(self._faults.values())
        if len(names) == 1:
            raise DamagedPicturesError(faults[0], self._faults)
        others = first_few(names[1:], _MOST_NAMED - 1, "; ")
        raise DamagedPicturesError(
            f"{self._place}: {len(names):,} pictures cannot be read (huscf data check says what is wrong "
            f"with each): {faults[0]}. The others: {others}",
            self._faults,
        )
