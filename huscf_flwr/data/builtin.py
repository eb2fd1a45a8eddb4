"""The built-in domains.

``digits`` and ``letters`` work offline. torchvision downloads ``mnist``, ``fashion-mnist``, ``kmnist``,
``cifar10`` and ``svhn`` once, into the cache folder. It cannot download ``notmnist``; the user must provide
its files.
"""

from __future__ import annotations

import logging
from pathlib import Path

from huscf_flwr.data.digits import make_digits
from huscf_flwr.data.idx import read_idx_folder, write_idx_folder
from huscf_flwr.data.images import DataError, LabelledImages
from huscf_flwr.data.letters import LETTERS, RECIPE, make_letters
from huscf_flwr.data.registry import register_domain
from huscf_flwr.extras import extra

Pair = tuple[LabelledImages, LabelledImages]

_LOGGER = logging.getLogger(__name__)


@register_domain("digits", classes=10, shape=(1, 28, 28))
def load_digits(_cache: Path) -> Pair:
    """Load scikit-learn's handwritten digits (see ``digits.py``)."""
    return make_digits()


@register_domain("letters", classes=len(LETTERS), shape=(1, 28, 28))
def load_letters(cache: Path) -> Pair:
    """Load A to J from matplotlib's fonts (see ``letters.py``), rendered once into the cache.

    Raises:
        DataError: if the cached files are damaged.
    """
    folder = cache / f"letters-{RECIPE}"
    if not folder.exists():
        made = make_letters()
        try:
            write_idx_folder(folder, *made, keep=True)
        except OSError as error:
            _LOGGER.warning("letters are not kept, and are rendered again next time: %s", error)
            return made
    try:
        return read_idx_folder(folder, classes=len(LETTERS))
    except DataError as error:
        raise DataError(f"{error}. Delete {folder}: it will be rendered again") from error


@register_domain("mnist", classes=10, shape=(1, 28, 28))
def load_mnist(cache: Path) -> Pair:
    """Load MNIST: 60,000 and 10,000 handwritten digits, 28x28 grey."""
    return _download("MNIST", cache)


@register_domain("fashion-mnist", classes=10, shape=(1, 28, 28))
def load_fashion_mnist(cache: Path) -> Pair:
    """Load Fashion-MNIST: 60,000 and 10,000 pieces of clothing, 28x28 grey."""
    return _download("FashionMNIST", cache)


@register_domain("kmnist", classes=10, shape=(1, 28, 28))
def load_kmnist(cache: Path) -> Pair:
    """Load Kuzushiji-MNIST: 60,000 and 10,000 cursive Japanese characters, 28x28 grey."""
    return _download("KMNIST", cache)


@register_domain("cifar10", classes=10, shape=(3, 32, 32))
def load_cifar10(cache: Path) -> Pair:
    """Load CIFAR-10: 50,000 and 10,000 photographs, 32x32 colour."""
    return _download("CIFAR10", cache)


@register_domain("svhn", classes=10, shape=(3, 32, 32))
def load_svhn(cache: Path) -> Pair:
    """Load the Street View House Numbers: 73,257 and 26,032 digits, 32x32 colour."""
    return _download("SVHN", cache)


@register_domain("notmnist", classes=10, shape=(1, 28, 28))
def load_notmnist(_cache: Path) -> Pair:
    """Refuse: notMNIST cannot be downloaded.

    Raises:
        DataError: always. This loader is called only if no folder was found.
    """
    raise DataError(
        "domain 'notmnist' cannot be downloaded: set data.root to a folder that holds a folder "
        "notMNIST, or a file of that name, in any format that is known, or give the domain as "
        "{name: notmnist, folder: DIR}"
    )


def _download(name: str, cache: Path) -> Pair:
    """Return both parts of a torchvision data set."""
    with extra("simulation", f"downloading {name}"):
        from huscf_flwr.data.downloads import downloaded  # noqa: PLC0415 - loads torchvision

    return downloaded(name, cache)
