"""Folders that are called like classes, whose names may be anything: ``T-shirt/top``, ``../x``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NO_PART_OF_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
_HIDDEN = re.compile(r"^(\.+|__+)")
"""Folders that begin so are passed over when folders of pictures are read."""
_LONGEST = 200
"""Bytes; file systems allow 255."""


def class_folders(names: Sequence[str], classes: int) -> tuple[str, ...]:
    """Return the name of the folder of each class, by label: its name as far as a folder can have it.

    Separators become ``_``, and dots before the name go. No two classes have the same folder: where they
    would, the later has its label behind the name.

    Args:
        names: by label; a class beyond them is called by its label.
        classes: at least so many there are.
    """
    folders: list[str] = []
    for label in range(max(classes, len(names))):
        folder = _as_folder(names[label]) if label < len(names) else ""
        folder = folder or str(label)
        while folder in folders:
            folder = f"{folder}-{label}"
        folders.append(folder)
    return tuple(folders)


def _as_folder(name: str) -> str:
    folder = _NO_PART_OF_A_NAME.sub("_", name.strip())
    while _HIDDEN.match(folder):
        folder = _HIDDEN.sub("", folder)
    return folder.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")
