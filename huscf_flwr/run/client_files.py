"""What a client keeps for itself between rounds, such as the moments of its optimisers, on its own disk.

It never leaves the client. The server remembers, for every client, after which round it kept its file last
and that file's checksum; at the start of a round the client finds its file by them. So a training that is
resumed, by the same run or another, goes on with exactly what belongs to its checkpoint, whatever has been
trained in between.

In a simulation the files lie in the run's folder; on a device, in its state folder below the training's name.
"""

from __future__ import annotations

import re
from pathlib import Path

from huscf_flwr.methods.contract import Kept, Tensors
from huscf_flwr.tensor_files import DamagedFileError, check_file, read_exactly, write_tensors


class ClientFileError(ValueError):
    """What a client once kept is not there any more."""


def save_private(
    private: Tensors, folder: Path, client: int, number: int, *, before: Kept | None, keep_last: int
) -> Kept:
    """Write what a client keeps after round ``number``, which went on from what it kept ``before``.

    Beside it stay that file and those of the ``keep_last - 1`` rounds before: the checkpoints that are kept
    need all but the oldest, and that one is needed as long as the server has not finished this round. Files
    of rounds in between belong to replies that the server never took, and are removed. Files of later rounds
    stay: whoever writes late must not remove what the server has taken since.
    """
    sha256 = write_tensors(private_file(folder, client, number), private)
    found = sorted((int(path.stem.rpartition("-")[2]), path) for path in _files(folder, client))
    taken = [path for of_round, path in found if before is not None and of_round <= before.round]
    never_taken = [path for of_round, path in found if path not in taken and of_round < number]
    left_by_a_crash = list(folder.glob(f".client-{client}-round-*"))
    for path in (*taken[:-keep_last], *never_taken, *left_by_a_crash):
        path.unlink()
    return Kept(number, sha256)


def load_private(folder: Path, client: int, kept: Kept) -> Tensors:
    """Return what ``client`` has ``kept``.

    Raises ``ClientFileError`` if that file is missing or another.
    """
    try:
        return read_exactly(private_file(folder, client, kept.round), kept.sha256)
    except DamagedFileError as error:
        raise _lost(folder, client, kept, error) from error


def remove_later_than(folder: Path, number: int) -> None:
    """Remove what clients kept after later rounds than ``number``, when a run goes on from there."""
    for path in folder.glob("client-*-round-*.safetensors"):
        if int(path.stem.rpartition("-")[2]) > number:
            path.unlink()


def check_private(folder: Path, client: int, kept: Kept) -> None:
    """Raise ``ClientFileError`` if ``load_private`` would."""
    try:
        check_file(private_file(folder, client, kept.round), kept.sha256)
    except DamagedFileError as error:
        raise _lost(folder, client, kept, error) from error


def private_file(folder: Path, client: int, number: int) -> Path:
    """Return where a client keeps its tensors after round ``number``."""
    return folder / f"client-{client}-round-{number:04}.safetensors"


def owners_folder(state_folder: Path, training: str) -> Path:
    """Return where a device keeps what belongs to one training, however many runs it takes.

    Raises ``ValueError`` for a name that no training has; it comes from the network and becomes a folder.
    """
    if not re.fullmatch("[0-9a-f]{32}", training):
        raise ValueError(f"'{training}' is not the name of a training: 32 hexadecimal digits")
    return state_folder / training


def _files(folder: Path, client: int) -> list[Path]:
    return list(folder.glob(f"client-{client}-round-*.safetensors"))


def _lost(folder: Path, client: int, kept: Kept, error: Exception) -> ClientFileError:
    return ClientFileError(
        f"{folder} does not have what client {client} kept after round {kept.round}: {error}"
    )
