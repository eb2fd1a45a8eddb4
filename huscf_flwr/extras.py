"""What is not installed everywhere: the extras of this package, and what is said where one is missing.

A device needs the package and no more, so that what only a server, a report or some format of images needs is
an extra, and is imported where it is used. ``pyproject.toml`` says which packages an extra brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ValueError):
    """Something was asked for that needs an extra of this package which is not installed here."""


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Around the imports of what the extra ``name`` brings: say so where it is missing.

    ``purpose`` is what needs it, as the first words of a sentence. Raises ``MissingExtraError`` with what to
    install instead of an ``ImportError``.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the extra '{name}' ({error}): pip install 'huscf-flwr[{name}]', or, in a "
            f"checkout, pip install -e '.[{name}]'"
        ) from error
