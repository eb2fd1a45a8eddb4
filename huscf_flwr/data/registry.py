"""The registry of built-in domains, open to users.

A domain is registered with a name, a number of classes and a loader. The loader gets the cache folder, may
download into it, and returns training and test images in their original size:

    @register_domain("my-letters", classes=26)
    def load_my_letters(cache: Path) -> tuple[LabelledImages, LabelledImages]:
        ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huscf_flwr.data.images import DataError, LabelledImages

Loader = Callable[[Path], tuple[LabelledImages, LabelledImages]]


@dataclass(frozen=True)
class RegisteredDomain:
    """A name, a number of classes, and the function that loads the images."""

    name: str
    classes: int
    load: Loader
    shape: tuple[int, int, int] | None = None
    """Channels, height and width of its images; None if only loading tells."""


_REGISTRY: dict[str, RegisteredDomain] = {}


def register_domain(
    name: str, *, classes: int, shape: tuple[int, int, int] | None = None
) -> Callable[[Loader], Loader]:
    """Register the decorated loader under ``name``, whose labels are 0..classes-1.

    ``shape`` is channels, height and width of its images, if that is known before they are loaded.

    Raises:
        DataError: if the name is taken.
    """

    def register(load: Loader) -> Loader:
        if name in _REGISTRY:
            raise DataError(f"domain '{name}' is already registered; choose another name")
        _REGISTRY[name] = RegisteredDomain(name, classes, load, shape)
        return load

    return register


def registered_domain(name: str) -> RegisteredDomain | None:
    """Return the domain registered under ``name``, or None."""
    return _REGISTRY.get(name)


def registered_names() -> tuple[str, ...]:
    """Return all registered names, sorted."""
    return tuple(sorted(_REGISTRY))
