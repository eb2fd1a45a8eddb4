"""Domains: the data sets that clients' images come from.

A domain has a name, and its images come from the first of these that exists: the folder that the user gives
with the name; the folder below ``data.root`` with a matching name (case, hyphens and underscores are ignored,
so ``fashion-mnist`` matches ``FashionMNIST``); the loader registered under the name. Folders are in MNIST's
file format (see ``idx.py``).

All domains use the labels 0..classes-1: label 3 is a digit in one domain and a dress, a kana or the letter D
in another, as in the authors' code (Metrics/evaluation.py:102-103, 149). A network cannot tell which domain a
label refers to, so clients of different domains must be clustered.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

import huscf_flwr.data.builtin  # noqa: F401  (registers the built-in domains)
from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.idx import read_idx_folder
from huscf_flwr.data.images import DataError, LabelledImages, convert
from huscf_flwr.data.registry import registered_domain, registered_names


class DomainSource(BaseModel):
    """A domain as a configuration names it.

    Attributes:
        name: a registered name, the name of a folder below ``data.root``, or any name if ``folder`` is set.
        folder: folder with the images, in MNIST's file format.
        classes: number of classes; by default the registered number, else 1 + the largest label of
            the training images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    folder: Path | None = None
    classes: int | None = Field(default=None, ge=1, le=256)


@dataclass(frozen=True, eq=False)
class Domain:
    """A loaded domain: images in the size that the network expects, labels 0..classes-1.

    The domain of one real client may have no test images.
    """

    name: str
    classes: int
    train: LabelledImages
    test: LabelledImages


def load_domain(
    domain: DomainSource | str,
    *,
    root: Path | None,
    cache: Path,
    image: tuple[int, int],
    classes: int | None = None,
    needs_test: bool = True,
) -> Domain:
    """Load a domain and convert its images to the form that the network expects.

    Args:
        domain: a name, or a name with its folder.
        root: folder of folders in MNIST's file format, searched before anything is downloaded.
        cache: folder for downloads and rendered images, created if needed.
        image: the network's (channels, size).
        classes: the network's number of classes; the domain must not have more.
        needs_test: a folder without test images is an error.

    Raises:
        DataError: if the domain is unknown, or if its files are missing, damaged or do not fit. The
            message names the file or the setting.
    """
    source = DomainSource(name=domain) if isinstance(domain, str) else domain
    registered = registered_domain(source.name)
    expected = source.classes or (registered.classes if registered else None)
    folder = source.folder or _folder_below(root, source.name)
    if folder is not None:
        train, test = read_idx_folder(folder, expected, needs_test=needs_test)
    elif registered is not None:
        train, test = registered.load(cache)
    else:
        raise DataError(_unknown(source.name, root))
    found = expected or int(train.labels.max()) + 1
    _check_classes(source.name, found, test, classes)
    return Domain(source.name, found, convert(train, *image), convert(test, *image))


def _folder_below(root: Path | None, name: str) -> Path | None:
    if root is None:
        return None
    if not root.is_dir():
        raise DataError(f"data.root: no such folder: {root}; correct the path or remove the setting")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return next((path for path in folders if _plain(path.name) == _plain(name)), None)


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def _unknown(name: str, root: Path | None) -> str:
    known = registered_names()
    place = f", and {root} has no folder of this name" if root else ""
    return (
        f"unknown domain '{name}'{did_you_mean(name, known)}{place}. Known: {', '.join(known)}. "
        f"Any folder in MNIST's file format can be given as {{name: {name}, folder: DIR}}"
    )


def _check_classes(name: str, found: int, test: LabelledImages, allowed: int | None) -> None:
    highest = max(test.labels.tolist(), default=-1)
    if highest >= found:
        raise DataError(
            f"domain '{name}': a test image has label {highest}, but the training labels end at "
            f"{found - 1}: correct the files, or set the domain's number of classes"
        )
    if allowed is not None and found > allowed:
        raise DataError(
            f"domain '{name}' has {found} classes and the network {allowed}: choose a model with "
            f"at least {found} classes"
        )
