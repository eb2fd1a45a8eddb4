"""Places that somebody names to be written to: whether they can be, and what is there already."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from huscf_flwr.naming import first_few

_MOST_NAMED = 3


class UnusableFolderError(ValueError):
    """Nothing can be written into a folder; the message names it and says what to do."""


def check_folder(folder: Path, what: str, instead: str) -> None:
    """Check that files can be written into ``folder``, which need not be there yet. Nothing is left there.

    Args:
        folder: where they are to be.
        what: how the message calls it, as the setting whose value it is.
        instead: what to do if they cannot.

    Raises:
        UnusableFolderError: if they cannot.
    """
    why = _why_not(folder, "it")
    if why:
        raise UnusableFolderError(f"{what} is {folder}, but {why}: {instead}")


def check_outputs(places: Iterable[Path | None], *, replaces: bool = False) -> None:
    """Check that files and folders that a command is to write are not there yet, and can be written.

    For commands that have an option ``--force``, which is ``replaces``. A place that nobody has named is
    None; an empty folder is as good as none.

    Raises:
        FileExistsError: naming the first that is there, unless it may be replaced.
        UnusableFolderError: naming the first that cannot be written.
    """
    named = [place for place in places if place is not None]
    for place in {each.parent: each for each in reversed(named)}.values():
        check_parent(place)  # first: in a folder that cannot be read it is not even known what is there
    for place in () if replaces else named:
        _refuse_existing(place)


def check_parent(place: Path) -> None:
    """Raise ``UnusableFolderError`` if nothing can be written where ``place`` is to be."""
    why = _why_not(place.parent, str(place.parent))
    if why:
        raise UnusableFolderError(f"{place} cannot be written, since {why}: choose another place")


def is_taken(place: Path) -> bool:
    """Return whether something is there, other than an empty folder."""
    if place.is_dir():
        return any(place.iterdir())
    return place.exists() or place.is_symlink()


def _refuse_existing(place: Path) -> None:
    if not is_taken(place):
        return
    held = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    content = f", with {first_few(held, _MOST_NAMED)} in it" if held else ""
    raise FileExistsError(
        f"{place} is there already{content}: choose another place, or replace it with --force"
    )


def _why_not(folder: Path, called: str) -> str:
    """Return why nothing can be written into a folder, ``called`` so; empty if something can.

    It is tried. Rights alone do not tell: on a disk that cannot be written even root is refused.
    """
    try:
        nearest = _nearest(folder.absolute())
        if not nearest.is_dir():
            which = called if nearest == folder.absolute() else str(nearest)
            return f"{which} is {'a file' if nearest.exists() else 'a link to nothing'}"
        with TemporaryDirectory(prefix=".huscf-", dir=nearest) as trial:
            (Path(trial) / folder.resolve().name).mkdir(exist_ok=True)
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError in older Pythons
        reason = getattr(error, "strerror", None) or str(error)
        return f"nothing can be written in {called} ({reason})"
    return ""


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest above it, that is there."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))
