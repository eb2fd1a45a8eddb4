"""Where ``~`` is."""

from __future__ import annotations

from pathlib import Path


def home_expanded(path: Path | str) -> Path:
    """Return a path with the home folder for a leading ``~`` or ``~user``.

    Where there is no such user, or no home, the path is what it says: a file may be called ``~lock.png``.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
