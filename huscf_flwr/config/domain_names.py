"""Names of domains in a setting: each is a name, and not the path of a file with images."""

from __future__ import annotations

import re
from pathlib import PurePath

from huscf_flwr.conf_files import NAME_FORM

_ENDING = re.compile(r"(?<=.)(\.[A-Za-z][A-Za-z0-9]*)+$")
"""Of a file, perhaps a packed one: ``.csv.gz``. What begins with a digit is of a name, as in ``v1.2``."""


def checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of domains; raise ``ValueError`` unless there is one at least, and each stands once."""
    if not names or "" in names:
        raise ValueError("names of domains are wanted, such as mnist,kmnist; or null for the scenario's own")
    for name in names:
        if re.fullmatch(NAME_FORM, name) is None:
            raise ValueError(_no_name(name))
        if names.count(name) > 1:
            raise ValueError(f"each domain can be named only once; remove one '{name}'")
    return names


def _no_name(said: str) -> str:
    """Return what is meant by what is no name: mostly a file or folder."""
    parts = [part for part in PurePath(said).parts if part not in ("/", "..", "~")]
    name = _as_name(_ENDING.sub("", parts[-1])) if parts else ""
    below = _name_below_root(said)
    named = f"name a file or folder below data.root without its ending, '{below}'; " if below else ""
    return (
        f"'{said}' is no name (letters a to z, digits, dots, hyphens and underscores): {named}for images "
        f"elsewhere write {{name: {name or 'mine'}, folder: {said}}} in the scenario's file"
    )


def _name_below_root(said: str) -> str | None:
    """Return the name of the domain that a path below ``data.root`` would be; None if none lies there."""
    *above, last = PurePath(said).parts or ("",)
    name = "-".join((*above, _ENDING.sub("", last)))
    return name if len(above) < 2 and ".." not in above and re.fullmatch(NAME_FORM, name) else None


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
