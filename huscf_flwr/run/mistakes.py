"""Errors in a sentence, for whoever reads them in a terminal or on another machine."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBRARIES = re.compile(r"[/\\](site-packages|python\d+\.\d+)[/\\]|^<")
_PACKAGE = str(Path(__file__).resolve().parents[1])


class MistakeError(RuntimeError):
    """Something failed that nobody worded for people; it says what and where."""


def told(error: BaseException) -> str:
    """Return what went wrong; of an error that nobody worded for people, also its type and where it was.

    Those that this package raises are worded. Of the others the place is the last one outside of libraries.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or _is_worded(error, frames[-1].filename):
        return str(error) or type(error).__name__
    own = [frame for frame in frames if not _LIBRARIES.search(frame.filename)] or frames
    where = own[-1]
    return f"{type(error).__name__}: {error} ({where.filename}:{where.lineno}, in {where.name})"


def _is_worded(error: BaseException, raised_in: str) -> bool:
    is_ours = type(error).__module__.startswith(f"{__package__.partition('.')[0]}.")
    return is_ours or (isinstance(error, ValueError | OSError) and raised_in.startswith(_PACKAGE))


@contextmanager
def mistakes_told() -> Iterator[None]:
    """Raise what nobody worded for people as a ``MistakeError``: only its text reaches another machine."""
    try:
        yield
    except Exception as error:
        text = told(error)
        if text == str(error):
            raise
        raise MistakeError(text) from error
