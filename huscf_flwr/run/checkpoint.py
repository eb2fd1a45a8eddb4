"""Checkpoints: all that the server needs to go on after a round as if nothing had happened.

A round's checkpoint is two files: the tensors of the method's state, and a small one that has everything else
and the checksums of both. The small one is written last: it makes the checkpoint. What clients hold privately
is theirs to keep; see ``huscf_flwr.run.client_files``. In a simulation that lies beside the checkpoint.

No random stream has a state to save: each is derived from the run's seed, what it is for, and, where it goes
on, the client and the round (``huscf_flwr.seeding``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from huscf_flwr.atomic_file import copy_atomically
from huscf_flwr.config import (
    RunConfig,
    RunConfigValue,
    WirePreset,
    WireSection,
    changed_files,
    to_run_config,
)
from huscf_flwr.data import scenario_of
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Kept, State
from huscf_flwr.naming import first_few
from huscf_flwr.run.client_files import ClientFileError, check_private, copy_private, remove_later_than
from huscf_flwr.run.origin import OTHER_IMAGES, Origin, origin_of
from huscf_flwr.run.rounds import Rounds
from huscf_flwr.run.spent_budget import copy_spent
from huscf_flwr.tensor_files import DamagedFileError, read_exactly, write_json, write_tensors

VERSION = 7
_MAY_CHANGE = (
    *("name", "output", "resume", "resume-round", "rounds", "min-hosts", "min-clients", "attempts"),
    *("fraction-evaluate", "tensorboard", "mode"),
    # What these name is compared by content; see ``Origin``.
    *("model.spec", "classifier.family", "cuts.devices", "data.scenario", "data.domains"),
    *("round-seconds", "data.root", "data.cache", "checkpoint.", "evaluation.", "executor."),
    *("compute.device", "compute.threads", "compute.keep-memory", "compute.measure-memory"),
)
"""Keys, and after a dot whole sections, that a resumed run may set anew."""
_PRESET = "wire.preset"
_NAME = re.compile(r"\.?server-(\d+)\.")


class CheckpointError(ValueError):
    """A checkpoint cannot be used."""


class ServerState(BaseModel):
    """What is not a tensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    training: str
    round: int
    origin: Origin
    """What the run computes from."""
    settings: dict[str, RunConfigValue]
    clients: list[int]
    kept: dict[int, Kept]
    trained: tuple[int, ...]
    """By client id."""
    facts: dict[str, Any]
    """Of the method's state."""
    tensors: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A round's checkpoint, read and found whole."""

    run_folder: Path
    state: ServerState
    tensors: Mapping[str, Tensor]

    @property
    def preset(self) -> WirePreset:
        """How numbers crossed in the sessions of its run."""
        return WireSection.model_validate({"preset": self.state.settings.get(_PRESET, "exact")}).chosen

    def check_same_run(self, config: RunConfig, images: str | None = None) -> None:
        """Raise ``CheckpointError`` if a run of ``config`` would not be the same training.

        ``images`` is the hash of its images, if somebody has looked at them.
        """
        origin, before = origin_of(config, images), self.state.origin
        copies = _copies_told(config, self.run_folder)
        self._check(before.model == origin.model, f"belongs to another network{copies}")
        differing = _differences(self.state.settings, config)
        self._check(
            not differing,
            f"belongs to a run with other settings: {', '.join(differing)}. Leave them as they were, or "
            "start again without resume",
        )
        self._check(
            not (others := _with_domains(before.differences(origin), config)),
            f"belongs to a run with {', '.join(others)}, under whatever name{copies}: give it what it was "
            "trained with, or start again without resume",
        )

    def check_rounds(self, config: RunConfig) -> None:
        """Raise ``CheckpointError`` if it is of a later round than the last of ``config``.

        To be asked last: settings mend it, and not that it is another run's.
        """
        rounds, own = method_of(config).rounds(config), self.state.round
        earlier = [number for number in sorted(_rounds(self._folder)) if number <= rounds]
        back = f"resume_round to one of those kept, {first_few(earlier)}"
        lost = "start again without resume: no earlier one is kept (checkpoint.keep_last)"
        self._check(
            own <= rounds,
            f"is of round {own}, and this run has {rounds}: set rounds to {_more_rounds(config, own)}, "
            f"or {back if earlier else lost}",
        )

    def check_clients(self, clients: Collection[int]) -> None:
        """Raise ``CheckpointError`` if it belongs to other clients."""
        self._check(
            self.state.clients == sorted(clients),
            f"belongs to other clients: {_ids(self.state.clients)}; this run has {_ids(clients)}",
        )

    def check_private(self, clients: Collection[int]) -> None:
        """Raise ``CheckpointError`` if what virtual ``clients`` kept does not lie beside it, as it was."""
        for client in sorted(clients & self.state.kept.keys()):
            try:
                check_private(client_folder(self.run_folder), client, self.state.kept[client])
            except ClientFileError as error:
                raise CheckpointError(f"resume: {error}") from error

    def restore(self, rounds: Rounds) -> None:
        """Let ``rounds``, of this or another run, go on from here.

        Raises ``CheckpointError`` naming what is wrong if it is for other networks, settings or clients, or
        the method finds that it does not fit.
        """
        self.check_same_run(rounds.config, rounds.images)
        self.check_rounds(rounds.config)
        self.check_clients(rounds.method.clients)
        try:
            rounds.method.load(State(self.state.facts, self.tensors))
        except ValueError as error:
            path = self._folder / self.state.tensors
            raise CheckpointError(f"resume: the checkpoint in {path} {error}") from error
        rounds.training = self.state.training
        rounds.number = self.state.round
        rounds.kept = dict(self.state.kept)
        rounds.trained = set(self.state.trained)

    def take_over(self, run_folder: Path, *, keep_last: int) -> None:
        """Make it the last checkpoint of the run in ``run_folder``, which keeps ``keep_last`` of its own."""
        number, own, new = self.state.round, self._folder, checkpoint_folder(run_folder)
        if own.resolve() == new.resolve():
            _keep_last(own, number, keep_last)
            remove_later_than(client_folder(run_folder), number)
            return
        client_folder(run_folder).mkdir(parents=True)
        for client, kept in self.state.kept.items():
            copy_private(client_folder(self.run_folder), client_folder(run_folder), client, kept)
        copy_spent(client_folder(self.run_folder), client_folder(run_folder))
        for path in (own / self.state.tensors, _state_file(own, number)):
            copy_atomically(path, new / path.name)

    @property
    def _folder(self) -> Path:
        return checkpoint_folder(self.run_folder)

    def _check(self, condition: bool, problem: str) -> None:
        _check(condition, self._folder, problem)


def _more_rounds(config: RunConfig, own: int) -> str:
    """Return the least ``rounds`` with which a run has ``own`` of its method's, which may be more."""
    rounds_of = method_of(config).rounds
    longer = (config.model_copy(update={"rounds": more}) for more in range(config.rounds + 1, own + 1))
    return next((f"at least {each.rounds}" for each in longer if rounds_of(each) >= own), "more")


def _with_domains(differences: Sequence[str], config: RunConfig) -> list[str]:
    """Return what differs; of images, whose they may be: their hash is one for all."""
    domains = first_few(scenario_of(config).domain_names, separator=" or ")
    return [f"{each} of {domains}" if each == OTHER_IMAGES else each for each in differences]


def _copies_told(config: RunConfig, run_folder: Path) -> str:
    """Return where the files are that a run began with, if those that ``config`` names are others now."""
    changed = changed_files(config, run_folder)
    told = " and ".join(f"--set {setting}={copy}" for setting, copy in changed.items())
    return f", of which it has kept a copy ({told})" if told else ""


def checkpoint_folder(run_folder: Path) -> Path:
    """Return the folder of a run's checkpoints."""
    return run_folder / "checkpoint"


def client_folder(run_folder: Path) -> Path:
    """Return the folder in which a simulation keeps what its virtual clients hold privately."""
    return checkpoint_folder(run_folder) / "clients"


def last_round(run_folder: Path) -> int | None:
    """Return the round of a run's last checkpoint, or None if there is none."""
    return max(_rounds(checkpoint_folder(run_folder)), default=None)


def settings_of(run_folder: Path, number: int | None = None) -> Mapping[str, RunConfigValue] | None:
    """Return the settings of a run, as its checkpoint of round ``number`` has them, or its last one.

    None if it has none of that round. Raises ``CheckpointError`` if it cannot be read.
    """
    number = last_round(run_folder) if number is None else number
    file = None if number is None else _state_file(checkpoint_folder(run_folder), number)
    return _read_state(file).settings if file is not None and file.is_file() else None


def images_of_training(run_folder: Path, training: str) -> str | None:
    """Return the hash of all images that a training has learned of until its last checkpoint in a folder.

    None if that folder has no checkpoint of the training, or nobody has looked at images.
    """
    last = last_round(run_folder)
    if last is None:
        return None
    state = _read_state(_state_file(checkpoint_folder(run_folder), last))
    return state.origin.images if state.training == training else None


def save_checkpoint(rounds: Rounds, run_folder: Path) -> None:
    """Write the checkpoint of the round that is finished, and remove those that are not to be kept."""
    folder, config, method = checkpoint_folder(run_folder), rounds.config, rounds.method
    own = method.state()
    path = _state_file(folder, rounds.number).with_suffix(".safetensors")
    state = ServerState(
        version=VERSION,
        training=rounds.training,
        round=rounds.number,
        origin=origin_of(config, rounds.images),
        settings=_settings(config),
        clients=sorted(method.clients),
        kept=rounds.kept,
        trained=tuple(sorted(rounds.trained)),
        facts=dict(own.facts),
        tensors=path.name,
        sha256=write_tensors(path, own.tensors),
    ).model_dump(mode="json")
    write_json(_state_file(folder, rounds.number), {**state, "checksum": _checksum(state)})
    _keep_last(folder, rounds.number, config.checkpoint.keep_last)


def checkpoint_of(config: RunConfig) -> Checkpoint | None:
    """Return the checkpoint that ``resume`` and ``resume_round`` name, or None for a run from the start.

    Raises ``CheckpointError`` as ``read_checkpoint`` does, and for a round of no run.
    """
    if config.resume is not None:
        return read_checkpoint(config.resume, config.resume_round)
    if config.resume_round is not None:
        raise CheckpointError(f"resume_round: {config.resume_round}, but resume names no run; set both")
    return None


def read_checkpoint(run_folder: Path, number: int | None = None) -> Checkpoint:
    """Return a run's last checkpoint, or that of round ``number``.

    Raises ``CheckpointError`` naming what is wrong if there is none, it is damaged, or of another version.
    """
    folder = checkpoint_folder(run_folder)
    kept = sorted(_rounds(folder))
    if not kept:
        raise CheckpointError(f"resume: {folder} has no checkpoint")
    if number is not None and number not in kept:
        raise CheckpointError(
            f"resume_round: {folder} has no checkpoint of round {number}, only of {', '.join(map(str, kept))}"
        )
    state = _read_state(_state_file(folder, number or kept[-1]))
    try:
        tensors = read_exactly(folder / state.tensors, state.sha256)
    except DamagedFileError as error:
        raise CheckpointError(f"resume: the checkpoint in {folder} is damaged: {error}") from error
    return Checkpoint(run_folder, state, tensors)


def _read_state(path: Path) -> ServerState:
    folder, damaged = path.parent, f"is damaged: {path.name}"
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"resume: the checkpoint in {folder} {damaged}: {error}") from error
    _check(isinstance(content, dict) and isinstance(content.get("version"), int), folder, damaged)
    version = content["version"]
    _check(version <= VERSION, folder, f"is by a newer version of this program: {version}, this is {VERSION}")
    _check(
        version >= VERSION,
        folder,
        f"is by an older version of this program: {version}, not {VERSION}; go on with the program that "
        "wrote it, or start again without resume",
    )
    checksum = content.pop("checksum", None)
    _check(checksum == _checksum(content), folder, f"{damaged} is not the file that was written")
    try:
        return ServerState.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"resume: the checkpoint in {folder} {damaged}: {error}") from error


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _state_file(folder: Path, number: int) -> Path:
    return folder / f"server-{number:04}.json"


def _rounds(folder: Path) -> set[int]:
    return {_round_of(path) for path in folder.glob("server-*.json")}


def _round_of(path: Path) -> int:
    match = _NAME.match(path.name)
    return int(match[1]) if match else -1


def _keep_last(folder: Path, newest: int, count: int) -> None:
    """Remove the files of all but ``count`` rounds until ``newest``, and what a crash has left half written.

    A checkpoint loses first what makes it one, and the newest goes first: where this is cut short, what is
    left is a run that stopped earlier.
    """
    stale = [
        path
        for path in folder.glob("*server-*")
        if path.name.startswith(".") or not newest - count < _round_of(path) <= newest
    ]
    for path in sorted(stale, key=lambda path: (path.suffix != ".json", -_round_of(path))):
        path.unlink()


def _ids(clients: Collection[int]) -> str:
    return ", ".join(map(str, sorted(clients)))


def _settings(config: RunConfig) -> dict[str, RunConfigValue]:
    """Return what must not change when a run is resumed, by its key in Flower's run config."""
    return {key: value for key, value in to_run_config(config).items() if not _may_change(key)}


def _may_change(key: str) -> bool:
    section, dot, _ = key.partition(".")
    return key in _MAY_CHANGE or f"{section}{dot}" in _MAY_CHANGE


def _differences(saved: Mapping[str, RunConfigValue], config: RunConfig) -> list[str]:
    """Return the keys that differ, with what they were; one that is not saved yet had its default."""
    now = _settings(config)
    is_older = bool(now.keys() - saved.keys())
    before = {**(_settings(resolved(RunConfig(method=config.method))) if is_older else {}), **saved}
    if now.get(_PRESET) == "auto":  # it goes on with what it has chosen
        now[_PRESET] = before[_PRESET]
    return [
        f"{key} (was {_value_told(before.get(key))}, is {_value_told(now.get(key))})"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _value_told(value: RunConfigValue | None) -> str:
    return "not set" if value in (None, "") else str(value)


def _check(condition: bool, folder: Path, problem: str) -> None:
    if not condition:
        raise CheckpointError(f"resume: the checkpoint in {folder} {problem}")
