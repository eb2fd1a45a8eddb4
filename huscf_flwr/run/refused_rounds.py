"""Which rounds a client has refused, in a file apart: what it keeps otherwise is of rounds that ended.

The server names the file that a client goes on from. Of this one it does not know, and it cannot make the
client forget that it was sent the same before.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.methods.contract import Tensors
from huscf_flwr.split.tampering import REFUSED


def note_refusal(folder: Path, client: int, number: int) -> None:
    """Write down below ``folder`` that ``client`` has refused round ``number``."""
    rounds = sorted({*_refused(folder, client), number})
    write_atomically(_path(folder, client), json.dumps(rounds).encode())


def with_refused(private: Tensors, folder: Path, client: int) -> Tensors:
    """Return what ``client`` keeps, with the rounds that it has refused, if there are any."""
    rounds = _refused(folder, client)
    return {**private, REFUSED: torch.tensor(rounds)} if rounds else private


def _refused(folder: Path, client: int) -> list[int]:
    path = _path(folder, client)
    rounds: list[int] = json.loads(path.read_bytes()) if path.is_file() else []
    return rounds


def _path(folder: Path, client: int) -> Path:
    return folder / "refused" / f"client-{client}.json"
