"""What pictures of a place differ in, and what becomes of it: sizes, colour and transparency."""

from __future__ import annotations

from collections.abc import Sequence

from huscf_flwr.naming import by_count


class Mixture:
    """What is seen of the pictures of a place while they are read."""

    def __init__(self, place: object) -> None:
        self._place = place
        self._sizes: set[tuple[int, int]] = set()
        self._first: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def take(self, picture: object, size: tuple[int, int], *, grey: bool, transparent: bool) -> None:
        """Take note of one picture, its height and width, and whether any of it is ``transparent``."""
        self._sizes.add(size)
        for kind in ("grey" if grey else "colour", *(["transparent"] if transparent else [])):
            self._first.setdefault(kind, str(picture))
            self._counts[kind] = self._counts.get(kind, 0) + 1

    def notes(self) -> list[str]:
        """Return what a reader may not expect, a sentence each."""
        notes = []
        if len(self._sizes) > 1:
            heights, widths = zip(*self._sizes, strict=True)
            notes.append(
                f"{self._place}: pictures differ in size: {_range(heights)} pixels high and "
                f"{_range(widths)} wide"
            )
        grey, colour, transparent = (self._counts.get(kind, 0) for kind in ("grey", "colour", "transparent"))
        if grey and colour:
            notes.append(
                f"{self._place}: {_pictures(colour)} stored in colour, such as {self._first['colour']}, and "
                f"{grey:,} in grey, such as {self._first['grey']}: so the images count as colour"
            )
        if transparent:
            notes.append(
                f"{self._place}: {_pictures(transparent)} transparent in part, such as "
                f"{self._first['transparent']}: what is transparent becomes white"
            )
        return notes


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _pictures(count: int) -> str:
    return f"{count:,} {by_count(count, 'picture is', 'pictures are')}"
