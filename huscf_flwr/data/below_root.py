"""Finding the folder or file of a domain below ``data.root``, by its name."""

from __future__ import annotations

from pathlib import Path

from huscf_flwr.data.formats.huggingface_parts import SUFFIXES as ARROWS
from huscf_flwr.data.formats.pixel_tables import SUFFIXES as TABLES
from huscf_flwr.data.images import DataError

_FILES = (".npz", *TABLES, *ARROWS)
"""How names of files end that may be a domain."""


def place_below(root: Path | None, name: str) -> Path | None:
    """Return the folder or file below ``root`` that has the name of a domain; None if there is none.

    Case, hyphens and underscores are ignored. A folder or file in a folder of ``root`` has the name of both:
    ``PACS/photo`` is ``pacs-photo``. What lies directly in ``root`` goes first.

    Raises:
        DataError: if ``root`` is not a folder.
    """
    if root is None:
        return None
    if not root.is_dir():
        raise DataError(f"data.root: no such folder: {root}; correct the path or remove the setting")
    wanted, places = plain(name), _places_in(root)
    within = (
        path
        for folder in places
        if folder.is_dir() and wanted.startswith(plain(folder.name))
        for path in _places_in(folder)
        if plain(folder.name) + _plain_name(path) == wanted
    )
    return next((path for path in places if _plain_name(path) == wanted), None) or next(within, None)


def names_below(root: Path | None, name: str) -> tuple[str, ...]:
    """Return the names of domains below ``root``, and in those of its folders that ``name`` begins with."""
    if root is None or not root.is_dir():
        return ()
    places = _places_in(root)
    within = (
        f"{folder.name}-{_name(path)}"
        for folder in places
        if folder.is_dir() and plain(name).startswith(plain(folder.name))
        for path in _places_in(folder)
    )
    return (*map(_name, places), *within)


def name_of_file(root: Path | None, name: str) -> str | None:
    """Return the name of the domain whose file below ``root`` is called ``name``, with its suffix.

    None if there is no such file. Case, hyphens and underscores are ignored here too. A file in a folder of
    ``root`` has the name of both: ``pacs-photo.npz`` means ``PACS/photo.npz``.
    """
    if root is None or not root.is_dir():
        return None
    suffix = next((each for each in _FILES if name.casefold().endswith(each)), None)
    if suffix is None:
        return None
    wanted = name[: -len(suffix)]
    path = place_below(root, wanted)
    return wanted if path is not None and path.name.casefold().endswith(suffix) and path.is_file() else None


def plain(name: str) -> str:
    """Return a name without what does not count: case, hyphens and underscores."""
    return name.casefold().replace("-", "").replace("_", "")


def _places_in(folder: Path) -> list[Path]:
    """Return what may have images directly in a folder: folders first, then files, each by name."""
    places = (path for path in folder.iterdir() if path.is_dir() or path.name.casefold().endswith(_FILES))
    return sorted(places, key=lambda path: (path.is_file(), path))


def _plain_name(path: Path) -> str:
    return plain(_name(path))


def _name(path: Path) -> str:
    """Return the name of a domain that a folder or file has."""
    if path.is_dir():
        return path.name
    suffix = next(each for each in _FILES if path.name.casefold().endswith(each))
    return path.name[: -len(suffix)]
