"""Data sets that torchvision downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torchvision import datasets

from huscf_flwr.data.images import DataError, LabelledImages


def downloaded(name: str, cache: Path) -> tuple[LabelledImages, LabelledImages]:
    """Return both parts of a torchvision data set, downloaded unless they are in the cache.

    Raises:
        DataError: if it cannot be downloaded or written there.
    """
    folder = cache / "torchvision" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Several processes on one machine may download the same files at the same time.
        with FileLock(folder / ".lock"):
            return _split_of(name, folder, train=True), _split_of(name, folder, train=False)
    except (OSError, RuntimeError, ImportError) as error:
        raise DataError(
            f"{name} could not be downloaded into {folder} ({error}): check the network, or set "
            f"data.root to a folder that holds {name} in MNIST's file format"
        ) from error


def _split_of(name: str, folder: Path, *, train: bool) -> LabelledImages:
    which: dict[str, Any] = {"train": train}
    if name == "SVHN":
        which = {"split": "train" if train else "test"}
    found = getattr(datasets, name)(root=str(folder), download=True, **which)
    pixels = torch.as_tensor(found.data)
    labels = found.labels if name == "SVHN" else found.targets
    return LabelledImages(_channels_first(name, pixels), torch.as_tensor(labels, dtype=torch.int64))


def _channels_first(name: str, pixels: torch.Tensor) -> torch.Tensor:
    if pixels.ndim == 3:
        return pixels[:, None]
    return pixels if name == "SVHN" else pixels.permute(0, 3, 1, 2).contiguous()
