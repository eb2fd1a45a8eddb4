"""The Flower app as a folder, which ``flwr run`` is given: a checkout, or a copy of what is installed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from huscf_flwr.atomic_file import appearing, copy_atomically
from huscf_flwr.existing import check_folders_place, is_taken

_PACKAGE = Path(__file__).resolve().parents[1]
_ABOUT = "pyproject.toml"
"""It says what the app is. In a checkout it lies beside the package, in a wheel in it."""


@cache
def app_folder() -> Path:
    """Return the folder of the Flower app: the checkout, or a copy that is removed when this process ends."""
    if (_PACKAGE.parent / _ABOUT).is_file():
        return _PACKAGE.parent
    folder = Path(tempfile.mkdtemp(prefix="huscf-app-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_app(folder)


def write_app(folder: Path) -> Path:
    """Write the Flower app into ``folder``, which must be empty or not be there, and return it.

    It appears complete or not at all. Raises ``FileExistsError`` if something is there.
    """
    check_folders_place(folder)
    if is_taken(folder):
        raise FileExistsError(f"{folder}: something is there already; give another place, or remove it")
    about = next(path for path in (_PACKAGE.parent / _ABOUT, _PACKAGE / _ABOUT) if path.is_file())
    with appearing(folder) as new:
        copy_atomically(about, new / _ABOUT)
        for source, place in _parts(about):
            shutil.copytree(source, new / place, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _parts(about: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folders of the app, and where in it they are: those that a wheel is made of."""
    wheel = tomllib.loads(about.read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        yield _PACKAGE.parent / package, package
    for source, place in wheel["force-include"].items():
        if (_PACKAGE.parent / source).is_dir():
            yield _PACKAGE.parent / source, place
