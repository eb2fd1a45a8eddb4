"""What a client keeps for itself between rounds: the moments of its optimisers.

They never leave it. The server remembers, for every client, after which round it kept its file last and that
file's checksum; at the start of a round the client finds its file by them. So a training that is resumed,
by the same run or another, goes on with exactly the moments that belong to its checkpoint, whatever has been
trained in between.

In a simulation the files lie in the run's folder; on a device, in its state folder below the training's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from huscf_flwr.split import Segments
from huscf_flwr.training.files import DamagedFileError, check_file, read_exactly, write_tensors


class MomentsError(ValueError):
    """The moments that a client once kept are not there any more."""


@dataclass(frozen=True)
class KeptMoments:
    """Which file a client has kept."""

    round: int
    sha256: str


def save_moments(
    segments: Segments, folder: Path, client: int, number: int, *, before: KeptMoments | None, keep_last: int
) -> KeptMoments:
    """Write a client's moments after round ``number``, which went on from those that it kept ``before``.

    Beside it stay those and the ones of the ``keep_last - 1`` rounds before them: the checkpoints that are
    kept need all but the oldest, and that one is needed as long as the server has not finished this round.
    Files of rounds in between belong to replies that the server never took, and are removed.
    """
    sha256 = write_tensors(moments_file(folder, client, number), segments.moments())
    found = sorted((int(path.stem.rpartition("-")[2]), path) for path in _files(folder, client))
    taken = [path for of_round, path in found if before is not None and of_round <= before.round]
    never_taken = [path for of_round, path in found if path not in taken and of_round != number]
    left_by_a_crash = list(folder.glob(f".client-{client}-round-*"))
    for path in (*taken[:-keep_last], *never_taken, *left_by_a_crash):
        path.unlink()
    return KeptMoments(number, sha256)


def load_moments(segments: Segments, folder: Path, client: int, kept: KeptMoments | None) -> None:
    """Go on with the moments that ``client`` has ``kept``; with none, it starts without.

    Raises ``MomentsError`` if that file is missing or another.
    """
    if kept is None:
        return
    try:
        segments.load_moments(read_exactly(moments_file(folder, client, kept.round), kept.sha256))
    except DamagedFileError as error:
        raise _lost(folder, client, kept, error) from error


def check_moments(folder: Path, client: int, kept: KeptMoments) -> None:
    """Raise ``MomentsError`` if ``load_moments`` would."""
    try:
        check_file(moments_file(folder, client, kept.round), kept.sha256)
    except DamagedFileError as error:
        raise _lost(folder, client, kept, error) from error


def moments_file(folder: Path, client: int, number: int) -> Path:
    """Return where a client keeps its moments after round ``number``."""
    return folder / f"client-{client}-round-{number:04}.safetensors"


def owners_folder(state_folder: Path, training: str) -> Path:
    """Return where a device keeps the moments of one training, however many runs it takes.

    Raises ``ValueError`` for a name that no training has; it comes from the network and becomes a folder.
    """
    if not re.fullmatch("[0-9a-f]{32}", training):
        raise ValueError(f"'{training}' is not the name of a training: 32 hexadecimal digits")
    return state_folder / training


def _files(folder: Path, client: int) -> list[Path]:
    return list(folder.glob(f"client-{client}-round-*.safetensors"))


def _lost(folder: Path, client: int, kept: KeptMoments, error: Exception) -> MomentsError:
    return MomentsError(
        f"{folder} does not have the moments that client {client} kept after round {kept.round}: {error}"
    )
