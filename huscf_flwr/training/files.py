"""States and JSON as files, each whole or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.models import NETWORKS, BlockStates, NetworkName


class DamagedFileError(ValueError):
    """A file is not there, or not the one that was written."""


_NETWORK_NAMES: dict[str, NetworkName] = {name: name for name in NETWORKS}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for people: indented, one trailing newline."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Write named tensors as safetensors; return the file's SHA-256."""
    contiguous = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    content = save(contiguous, dict(metadata or {}))
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read what ``write_tensors`` wrote."""
    return load_file(path)


def read_exactly(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read what ``write_tensors`` wrote when it returned ``sha256``.

    Raises ``DamagedFileError`` if the file is not there or holds anything else.
    """
    return load(_checked(path, sha256))


def check_file(path: Path, sha256: str) -> None:
    """Raise ``DamagedFileError`` if ``read_exactly`` would."""
    _checked(path, sha256)


def _checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DamagedFileError(f"{path.name} is missing") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedFileError(f"{path.name} is not the file that was written: its checksum differs")
    return content


def flatten_blocks(blocks: BlockStates, prefix: str = "") -> dict[str, Tensor]:
    """Name every tensor ``<prefix><network>.<block>.<entry>``."""
    return {
        f"{prefix}{network}.{index}.{entry}": tensor
        for (network, index), state in blocks.items()
        for entry, tensor in state.items()
    }


def unflatten_blocks(tensors: Mapping[str, Tensor], prefix: str = "") -> BlockStates:
    """Return the blocks whose tensors' names begin with ``prefix``; the opposite of ``flatten_blocks``."""
    blocks: BlockStates = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            continue
        network, index, entry = name.removeprefix(prefix).split(".", 2)
        blocks.setdefault((_NETWORK_NAMES[network], int(index)), {})[entry] = tensor
    return blocks
