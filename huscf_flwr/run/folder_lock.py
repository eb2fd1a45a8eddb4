"""Who writes into a folder, or into a file: one process at a time.

The lock is the system's, on a small file beside it, so that it may itself be moved or replaced. It ends
with the process that holds it, however that ends: nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES = 5
_PAUSE_SECONDS = 0.05
"""Somebody who only looks whether a folder is free holds it for a moment."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_LOGGER = logging.getLogger("huscf_flwr.run")


class FolderInUseError(RuntimeError):
    """Another process writes into the folder."""


@contextmanager
def held(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold ``folder``, which need not be there yet, or a file, for this process.

    If somebody holds it already, perhaps this process itself, it ``waits`` until that has ended, or raises
    ``FolderInUseError`` naming the process.
    """
    path = _lock_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _locked(path, folder, waits=waits)
    try:
        yield
    finally:
        try:
            # Removed while it is held: whoever has opened it meanwhile finds that it is not at its place.
            path.unlink(missing_ok=True)
        finally:
            os.close(handle)


def check_free(folder: Path) -> None:
    """Raise ``FolderInUseError`` naming the process that holds ``folder``, if there is one."""
    try:
        handle = os.open(_lock_file(folder), os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(folder, handle) from None
    except OSError:
        return
    finally:
        os.close(handle)


def _lock_file(folder: Path) -> Path:
    place = folder.resolve()
    return place.with_name(f".{place.name}.lock")


def _locked(path: Path, folder: Path, *, waits: bool) -> int:
    """Return the open file that is the lock, once it is ours."""
    tries = 0
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tries += 1
            problem = _in_use(folder, handle)
            os.close(handle)
            if tries == _TRIES:
                raise problem from None
            time.sleep(_PAUSE_SECONDS)
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise
            _LOGGER.warning("%s: its file system has no locks: start no other run of this name", folder)
        if _is_at(path, handle):
            _sign(handle)
            return handle
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(handle))
    return False


def _sign(handle: int) -> None:
    """Write down who we are, for those that are refused."""
    who = {"process": os.getpid(), "host": socket.gethostname(), "command": Path(sys.argv[0]).name}
    with suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(who).encode(), 0)


def _in_use(folder: Path, handle: int) -> FolderInUseError:
    holder = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):
        who = json.loads(os.pread(handle, 4096, 0))
        holder = f"process {who['process']} ({who['command']}) on {who['host']}"
    return FolderInUseError(
        f"{folder} is being written by {holder}: wait until it has ended, or give this run another name"
    )
