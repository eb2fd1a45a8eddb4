"""Places that somebody names to be written to: whether they can be, and what is there already."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from huscf_flwr.naming import first_few

_MOST_NAMED = 3
_ADDED = "-temporary"
"""As much as names are longer while what has them is written beside its place, or nearly."""


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


def check_outputs(
    *, files: Iterable[Path | None] = (), folders: Iterable[Path] = (), replaces: bool = False
) -> None:
    """Check that files and folders that a command is to write are not there yet, and can be written.

    For commands that have an option ``--force``, which is ``replaces``. A file that nobody has named is
    None; an empty folder in a folder's place is as good as none.

    Raises:
        UnusableFolderError: naming the first that cannot be written, of files before folders.
        FileExistsError: naming the first that is there, unless it may be replaced.
    """
    named, places = [file for file in files if file is not None], list(folders)
    # All of them first: in a folder that cannot be read it is not even known what is there.
    for file in named:
        check_file(file)
    for place in places:
        check_folders_place(place)
    for each in () if replaces else (*named, *places):
        _refuse_existing(each)


def check_file(place: Path) -> None:
    """Raise ``UnusableFolderError`` if no file can be written there: a folder is replaced by none."""
    _refuse_unless(_why_no_entry(place) or ("it is a folder" if place.is_dir() else ""), place)


def check_folders_place(place: Path) -> None:
    """Raise ``UnusableFolderError`` if no folder can be made there, or is there."""
    _refuse_unless(_why_no_entry(place) or _what_else(place, "it"), place)


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


def _refuse_unless(why: str, place: Path) -> None:
    if why:
        raise UnusableFolderError(f"{place} cannot be written, since {why}: choose another place")


def _why_no_entry(place: Path) -> str:
    """Return why nothing can have a place's name in its folder; empty if something can."""
    return _why_not(place.parent, str(place.parent), f".{place.name}{_ADDED}")


def _why_not(folder: Path, called: str, entry: str = "") -> str:
    """Return why nothing can be written into a folder, ``called`` so; empty if something can.

    It is tried, with an ``entry`` of that name if one is given. Rights alone do not tell: on a disk that
    cannot be written even root is refused.
    """
    folder = folder.absolute()
    try:
        nearest = _nearest(folder)
        if why := _what_else(nearest, called if nearest == folder else str(nearest)):
            return why
        with TemporaryDirectory(prefix=".huscf-", dir=nearest) as trial:
            for missing in folder.parts[len(nearest.parts) :]:
                (Path(trial) / missing).mkdir(exist_ok=True)
            return _why_refused(Path(trial) / entry)
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError in older Pythons
        return f"nothing can be written in {called} ({_reason(error)})"


def _why_refused(entry: Path) -> str:
    try:
        entry.mkdir(exist_ok=True)
    except OSError as error:
        return f"the system refuses its name ({_reason(error)})"
    return ""


def _reason(error: OSError | RuntimeError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _what_else(place: Path, called: str) -> str:
    """Return what is at a place that is no folder; empty if one is, or nothing."""
    if place.is_dir() or not os.path.lexists(place):
        return ""
    return f"{called} is {'a file' if place.exists() else 'a link to nothing'}"


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest above it, that is there."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))
