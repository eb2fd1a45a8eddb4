"""What clients have spent of the privacy of their images, in a file for each that no training removes.

On a device it lies in the state folder, whatever the training, the client's id and the images are now: sets
of images overlap, and an image must not get a new budget because another one was added, or because the
device goes by another id. In a simulation, whose runs have nothing to do with each other, it lies in the
run's folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from huscf_flwr.accounting import Releases
from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.methods.contract import Client, may_spend
from huscf_flwr.run.folder_lock import held

_FOLDER = "spent"
_OWN = "own.json"
"""Of a device that owns its images."""


class SpentBudgetError(ValueError):
    """A client's file of what is spent cannot be read."""


class _Spent(BaseModel):
    """In one round."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: str
    round: int
    releases: tuple[Releases, ...]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    spent: tuple[_Spent, ...] = ()


class SpentBudget:
    """What the clients of a host have spent, and what they spend next."""

    def __init__(self, folder: Path, *, of_device: bool = False, may_repeat: bool = False) -> None:
        """Read and write below ``folder``.

        ``of_device``: what is spent is that of the device, whatever id its client goes by.
        ``may_repeat``: a round that is trained again draws the same noise, so it is counted once, and what
        was trained after it is forgotten: a simulation that resumes goes on as if it had not ended. New noise
        must be counted again, since both may have been seen.
        """
        self._folder, self._of_device, self._may_repeat = folder, of_device, may_repeat

    def charge(self, member: Client, training: str, number: int, steps: int) -> None:
        """Let ``member`` say what the steps of round ``number`` spend, and write it down before they begin.

        Waits while another process charges for the same images: neither may forget what the other spends.
        Raises ``BudgetSpentError`` if that is more than is left, and ``SpentBudgetError`` if nobody knows
        what is.
        """
        if not may_spend(type(member)):
            return
        path = self._folder / _FOLDER / (_OWN if self._of_device else f"client-{member.client}.json")
        with held(path, waits=True):
            before = tuple(each for each in _read(path) if not self._is_repeated(each, training, number))
            new = member.charge(steps, [release for each in before for release in each.releases])
            if new:
                spent = (*before, _Spent(training=training, round=number, releases=tuple(new)))
                write_atomically(path, _File(spent=spent).model_dump_json(indent=1).encode())

    def _is_repeated(self, spent: _Spent, training: str, number: int) -> bool:
        return self._may_repeat and spent.training == training and spent.round >= number


def all_spent(folder: Path) -> list[list[Releases]]:
    """Return what each client has spent whose file is below ``folder``; on a server of devices none is.

    Raises ``SpentBudgetError`` if one of them cannot be read.
    """
    paths = sorted((folder / _FOLDER).glob("*.json"))
    return [[release for each in _read(path) for release in each.releases] for path in paths]


def copy_spent(folder: Path, to: Path) -> None:
    """Copy what all clients have spent, if they have spent any, into the folder ``to`` of another run."""
    if (folder / _FOLDER).is_dir():
        shutil.copytree(folder / _FOLDER, to / _FOLDER)


def _read(path: Path) -> tuple[_Spent, ...]:
    try:
        return _File.model_validate_json(path.read_bytes()).spent
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise SpentBudgetError(
            f"{_FOLDER}/{path.name} should say what has been spent of the privacy of a client's images, and "
            "cannot be read as that; put back what was there: whoever removes it spends the budget again"
        ) from error
