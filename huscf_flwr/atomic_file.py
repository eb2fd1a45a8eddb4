"""Files that are written completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

_TOLD = "; it cannot be written"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error name the file or folder that is being written: on a full disk, the system names none.

    For what others write, such as a library: whatever fails inside is taken to be about ``path``.
    """
    try:
        yield
    except shutil.Error as error:
        _, _, reason = error.args[0][0]  # of the first of several files
        raise OSError(f"{reason}{_TOLD}: '{path}'") from error
    except OSError as error:
        reason = str(error.strerror or error).removesuffix(_TOLD)
        raise type(error)(error.errno, f"{reason}{_TOLD}", str(path)) from error


@contextmanager
def appearing(place: Path) -> Iterator[Path]:
    """Let a file or folder be written elsewhere, and move it to ``place`` once it is complete.

    There is nothing yet, or an empty folder.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    # A folder that is there may be one that cannot be replaced, such as a disk of its own.
    beside = place if place.is_dir() else place.parent
    with naming(place), TemporaryDirectory(prefix=".huscf-", dir=beside) as folder:
        temporary = Path(folder) / place.absolute().name
        yield temporary
        if place.is_dir():
            for made in list(temporary.iterdir()):
                made.rename(place / made.name)
        else:
            temporary.rename(place)


def write_atomically(path: Path, content: bytes, *, durable: bool = True, private: bool = False) -> None:
    """Replace a file's content in one step, so that a reader sees either the old or the new one.

    If ``durable``, the same holds after a crash. A ``private`` one is readable for its owner alone, from the
    moment that there is anything to read.
    """
    with _replacing(path, durable=durable, private=private) as file:
        file.write(content)


def copy_atomically(source: Path, path: Path) -> None:
    """Copy a file's content, as ``write_atomically`` does."""
    with source.open("rb") as content, _replacing(path, durable=True, private=False) as file:
        shutil.copyfileobj(content, file)


def append_durably(path: Path, text: str) -> None:
    """Append ``text`` to a file, and return once it would survive a crash."""
    is_new = not path.exists()
    with naming(path):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(path.parent)


@contextmanager
def _replacing(path: Path, *, durable: bool, private: bool) -> Iterator[BinaryIO]:
    _make_folder(path.parent, durable=durable)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            temporary.touch(mode=0o600 if private else 0o666)
            with temporary.open("wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
            if durable:
                _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # what has gone wrong is told already
            temporary.unlink(missing_ok=True)


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
