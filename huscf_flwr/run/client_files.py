"""What a client keeps for itself between rounds, such as the moments of its optimisers, on its own disk.

It never leaves the client. The server remembers, for every client, after which round it kept its file last
and that file's checksum; at the start of a round the client finds its file by them. So a training that is
resumed, by the same run or another, goes on with exactly what belongs to its checkpoint, whatever has been
trained in between.

In a simulation the files lie in the run's folder; on a device, in its state folder below the training's name
and the hash of the images that they have learned of: images may change between any two rounds.
Each client has a folder of its own: listing one does not take longer with more clients. A file is named by
its round and the checksum of its content, so that no attempt at a round overwrites what another one wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from huscf_flwr.atomic_file import copy_atomically, write_atomically
from huscf_flwr.methods.contract import Kept, Tensors
from huscf_flwr.session import SessionError
from huscf_flwr.tensor_files import DamagedFileError, check_file, read_exactly, tensor_content

_NAME = re.compile(r"round-(\d+)-[0-9a-f]+\.safetensors")
_CHECKSUM_DIGITS = 16
"""Of a SHA-256 in a name."""
_FOR_IMAGES = "images-"


class ClientFileError(ValueError):
    """What a client once kept is not there any more."""


class OtherImagesError(SessionError):
    """A client's images are not those any more that what it kept was trained on."""


def save_private(
    private: Tensors, folder: Path, client: int, number: int, *, before: Kept | None, keep_last: int
) -> Kept:
    """Write what a client keeps after round ``number``, which went on from what it kept ``before``.

    That file and those of the ``keep_last - 1`` rounds before it stay. Checkpoints need all but the oldest,
    and need that one too until the server has finished this round. Files that the server never took are
    removed. Other files of this round, and those of later ones, stay: a late attempt must not remove what the
    server has taken since.
    """
    content, sha256 = tensor_content(private)
    kept = Kept(number, sha256)
    path = private_file(folder, client, kept)
    write_atomically(path, content)
    found = {each: _round_of(each) for each in path.parent.iterdir()}
    taken = None if before is None else private_file(folder, client, before)
    left = [each for each, of_round in found.items() if of_round is None and _is_older(each, taken)]
    for stale in (*left, *_stale(found, number, taken, keep_last)):
        # A late attempt may have removed it.
        stale.unlink(missing_ok=True)
    return kept


def load_private(folder: Path, client: int, kept: Kept) -> Tensors:
    """Return what ``client`` has ``kept``.

    Raises ``ClientFileError`` if that file is missing or another.
    """
    try:
        return read_exactly(private_file(folder, client, kept), kept.sha256)
    except DamagedFileError as error:
        raise _lost(folder, client, kept, error) from error


def remove_later_than(folder: Path, number: int) -> None:
    """Remove what clients kept after later rounds than ``number``, when a run goes on from there."""
    for path in folder.glob("client-*/round-*.safetensors"):
        if (_round_of(path) or 0) > number:
            path.unlink()


def copy_private(folder: Path, to: Path, client: int, kept: Kept) -> None:
    """Copy what ``client`` has ``kept``, if ``folder`` has it, into the folder ``to`` of another run."""
    source, target = (private_file(each, client, kept) for each in (folder, to))
    if source.is_file():
        copy_atomically(source, target)


def check_private(folder: Path, client: int, kept: Kept) -> None:
    """Raise ``ClientFileError`` if ``load_private`` would."""
    try:
        check_file(private_file(folder, client, kept), kept.sha256)
    except DamagedFileError as error:
        raise _lost(folder, client, kept, error) from error


def folder_for_images(folder: Path, images: str) -> Path:
    """Return where a device keeps what has learned of ``images``, known by their hash, below ``folder``."""
    return folder / f"{_FOR_IMAGES}{images[:_CHECKSUM_DIGITS]}"


def check_images(folder: Path, client: int, kept: Kept, images: str) -> None:
    """Raise ``OtherImagesError`` if what ``client`` has ``kept`` has learned of others than ``images``.

    The error names no path: it reaches the server.
    """
    own = folder_for_images(folder, images)
    others = (other for other in folder.glob(f"{_FOR_IMAGES}*") if other != own)
    if private_file(own, client, kept).is_file():
        return
    if any(private_file(other, client, kept).is_file() for other in others):
        raise OtherImagesError(
            f"client {client}: its training images are not those that it was trained on before, until round "
            f"{kept.round}; its owner must put those back, or remove {folder.name} in its state folder to "
            "start anew"
        )


def private_file(folder: Path, client: int, kept: Kept) -> Path:
    """Return where the tensors are that a client has ``kept``.

    Raises ``ValueError`` for a checksum that is none; it comes from the network and becomes part of a name.
    """
    if not re.fullmatch("[0-9a-f]{64}", kept.sha256):
        raise ValueError(f"'{kept.sha256}' is not a SHA-256: 64 hexadecimal digits")
    name = f"round-{kept.round:04}-{kept.sha256[:_CHECKSUM_DIGITS]}.safetensors"
    return folder / f"client-{client}" / name


def owners_folder(state_folder: Path, training: str) -> Path:
    """Return where a device keeps what belongs to one training, however many runs it takes.

    Raises ``ValueError`` for a name that no training has; it comes from the network and becomes a folder.
    """
    if not re.fullmatch("[0-9a-f]{32}", training):
        raise ValueError(f"'{training}' is not the name of a training: 32 hexadecimal digits")
    return state_folder / training


def _stale(found: Mapping[Path, int | None], number: int, taken: Path | None, keep_last: int) -> list[Path]:
    """Return which of a client's files are not needed after round ``number``; ``found`` has their rounds.

    ``taken`` is the one that the server took last.
    """
    last = 0 if taken is None else _round_of(taken) or 0
    kept = sorted({of_round for of_round in found.values() if of_round is not None and of_round <= last})
    kept = kept[-keep_last:]
    return [
        path
        for path, of_round in found.items()
        if of_round is not None
        and ((of_round < number and of_round not in kept) or (of_round == last and path != taken))
    ]


def _is_older(path: Path, taken: Path | None) -> bool:
    """Return whether a file is older than the one that the server took last.

    One that is half written was then left by a crash; another attempt may be writing a younger one.
    """
    try:
        return taken is not None and path.stat().st_mtime_ns < taken.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _round_of(path: Path) -> int | None:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def _lost(folder: Path, client: int, kept: Kept, error: Exception) -> ClientFileError:
    return ClientFileError(
        f"{folder} does not have what client {client} kept after round {kept.round}: {error}"
    )
