"""Files that are written completely or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file's content in one step, so that a reader sees either the old or the new one.

    If ``durable``, the same holds after a crash.
    """
    _make_folder(path.parent, durable=durable)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _naming(path, error) from error
    finally:
        with suppress(OSError):  # what has gone wrong is told already
            temporary.unlink(missing_ok=True)


def append_durably(path: Path, text: str) -> None:
    """Append ``text`` to a file, and return once it would survive a crash."""
    is_new = not path.exists()
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(path.parent)
    except OSError as error:
        raise _naming(path, error) from error


def _naming(path: Path, error: OSError) -> OSError:
    """Return the error with the file that was to be written: on a full disk, the system names none."""
    return type(error)(error.errno, f"{error.strerror or error}; it cannot be written", str(path))


def _make_folder(folder: Path, *, durable: bool) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if durable:
        for made in missing:
            _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a crash: syncing a file does not sync its name."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
