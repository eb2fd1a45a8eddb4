"""Errors in a sentence, for whoever reads them in a terminal or on another machine."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class MistakeError(RuntimeError):
    """Something failed that nobody worded for people; it says what and where."""


def told(error: BaseException) -> str:
    """Return what went wrong; of an error that nobody worded for people, also its type and where it was."""
    worded = isinstance(error, ValueError | OSError | ArithmeticError | RuntimeError)
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or (worded and type(error) is not RuntimeError):
        return str(error) or type(error).__name__
    where = frames[-1]
    return f"{type(error).__name__}: {error} ({where.filename}:{where.lineno}, in {where.name})"


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
