"""What pictures of a place differ in, and what becomes of it: sizes, colour and transparency."""

from __future__ import annotations

from collections.abc import Sequence

from huscf_flwr.naming import by_count

_DEEP_END = 2**16 - 1
_NARROW_END = 2**12 - 1
"""Pixels of 16 bits that end here or below are those of 12 bits, as scanners and microscopes have them."""


class Mixture:
    """What is seen of the pictures of a place while they are read."""

    def __init__(self, place: object) -> None:
        self._place = place
        self._sizes: set[tuple[int, int]] = set()
        self._first: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._narrow_end = 0

    def take(
        self,
        picture: object,
        size: tuple[int, int],
        *,
        grey: bool,
        transparent: bool,
        deep_end: int | None = None,
    ) -> None:
        """Take note of one picture, its height and width, and whether any of it is ``transparent``.

        ``deep_end`` is the highest value of its pixels if they have 16 bits.
        """
        self._sizes.add(size)
        kinds = ["grey" if grey else "colour", *(["transparent"] if transparent else [])]
        if deep_end is not None and 0 < deep_end <= _NARROW_END:
            kinds.append("narrow")
            self._narrow_end = max(self._narrow_end, deep_end)
        for kind in kinds:
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
        return [*notes, *self._of_narrow()]

    def _of_narrow(self) -> list[str]:
        count = self._counts.get("narrow", 0)
        if not count:
            return []
        ends = by_count(count, "picture of 16 bits ends", "pictures of 16 bits end")
        become = by_count(count, "it becomes", "they become")
        return [
            f"{self._place}: {count:,} {ends} at {self._narrow_end:,} of {_DEEP_END:,}, such as "
            f"{self._first['narrow']}: {become} nearly black; multiply the pixels until they end near "
            f"{_DEEP_END:,}, as those of 12 bits by 16"
        ]


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _pictures(count: int) -> str:
    return f"{count:,} {by_count(count, 'picture is', 'pictures are')}"
