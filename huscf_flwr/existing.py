"""Files and folders that somebody else has made, which nothing here replaces unless it is told to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from huscf_flwr.naming import first_few

_MOST_NAMED = 3


def is_taken(place: Path) -> bool:
    """Return whether something is there, other than an empty folder."""
    if place.is_dir():
        return any(place.iterdir())
    return place.exists() or place.is_symlink()


def refuse_existing(places: Iterable[Path | None], *, unless: bool = False) -> None:
    """Raise ``FileExistsError`` naming the first of ``places`` that is there, unless it is an empty folder.

    For commands that have an option ``--force``, which is ``unless``: then nothing is refused. A place that
    nobody has named is None.
    """
    for place in () if unless else places:
        if place is None or not is_taken(place):
            continue
        held = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        content = f", with {first_few(held, _MOST_NAMED)} in it" if held else ""
        raise FileExistsError(
            f"{place} is there already{content}: choose another place, or replace it with --force"
        )
