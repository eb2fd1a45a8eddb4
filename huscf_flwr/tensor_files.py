"""Tensors and JSON in files that are written completely or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from huscf_flwr.atomic_file import write_atomically


class DamagedFileError(ValueError):
    """A file is missing, or is not the file that was written."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for readers: indented, with one trailing newline."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def tensor_content(tensors: Mapping[str, Tensor]) -> tuple[bytes, str]:
    """Return what a file of named tensors holds, even if there are none, and its SHA-256."""
    contiguous = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    # Empty metadata instead of none would make a file without tensors one that nobody can read.
    content = save(contiguous)
    return content, hashlib.sha256(content).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read what ``write_json`` wrote.

    Raises ``DamagedFileError`` naming the file if it is missing or cannot be read.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing") from None
    except (ValueError, OSError) as error:
        raise DamagedFileError(f"{path} is damaged and cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} is damaged: it has a {type(content).__name__} in place of an object")
    return content


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write named tensors as safetensors; return the file's SHA-256."""
    content, sha256 = tensor_content(tensors)
    write_atomically(path, content)
    return sha256


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read what ``write_tensors`` wrote.

    Raises ``DamagedFileError`` naming the file if it is missing or cannot be read.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(f"{path} is damaged and cannot be read: {error}") from error


def read_exactly(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read the file that ``write_tensors`` wrote when it returned ``sha256``.

    Raises ``DamagedFileError`` if the file is missing or has other content.
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
