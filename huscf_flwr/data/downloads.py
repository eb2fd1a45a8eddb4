"""Data sets that torchvision downloads."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torchvision import datasets

from huscf_flwr.data.formats.found import named_if_damaged
from huscf_flwr.data.images import LabelledImages


def downloaded(name: str, cache: Path) -> tuple[LabelledImages, LabelledImages]:
    """Return both parts of a torchvision data set, downloaded unless they are in the cache.

    A cache that has them need not be writable.

    Raises:
        DataError: if it cannot be downloaded or written there, or what is there is damaged.
    """
    folder = cache / "torchvision" / name
    # What torchvision raises of files that are missing, or not yet complete, depends on the data set.
    with suppress(Exception):
        return _both_of(name, folder, download=False)
    with named_if_damaged(
        name,
        f"could not be downloaded into {folder}",
        f"check the network, remove what is damaged there, or set data.root to a folder that holds {name} in "
        "any format that is known",
    ):
        folder.mkdir(parents=True, exist_ok=True)
        # Several processes on one machine may download the same files at the same time.
        with FileLock(folder / ".lock"):
            return _both_of(name, folder, download=True)


def _both_of(name: str, folder: Path, *, download: bool) -> tuple[LabelledImages, LabelledImages]:
    train, test = (_split_of(name, folder, train=train, download=download) for train in (True, False))
    return train, test


def _split_of(name: str, folder: Path, *, train: bool, download: bool) -> LabelledImages:
    which: dict[str, Any] = {"train": train}
    if name == "SVHN":
        which = {"split": "train" if train else "test"}
    found = getattr(datasets, name)(root=str(folder), download=download, **which)
    pixels = torch.as_tensor(found.data)
    labels = found.labels if name == "SVHN" else found.targets
    return LabelledImages(_channels_first(name, pixels), torch.as_tensor(labels, dtype=torch.int64))


def _channels_first(name: str, pixels: torch.Tensor) -> torch.Tensor:
    if pixels.ndim == 3:
        return pixels[:, None]
    return pixels if name == "SVHN" else pixels.permute(0, 3, 1, 2).contiguous()
