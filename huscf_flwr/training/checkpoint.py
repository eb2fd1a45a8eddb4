"""Checkpoints: what the server holds after a round, and what each client keeps for itself.

The server's part is two files, weights and moments in one and the rest in the other; a client's moments are a
file of its own that never leaves it. In a simulation all of them lie in the run's folder; on a device the
client's lies wherever its SuperNode says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from huscf_flwr.config import RunConfig, RunConfigValue, to_run_config
from huscf_flwr.models import Cut
from huscf_flwr.split import Segments
from huscf_flwr.training.coordinator import Coordinator
from huscf_flwr.training.files import (
    flatten_blocks,
    read_tensors,
    unflatten_blocks,
    write_json,
    write_tensors,
)

VERSION = 1
_MAY_CHANGE = (
    *("name", "output", "resume", "rounds", "min-hosts"),
    *("data.root", "data.cache", "evaluation.", "executor.", "compute.threads"),
)
_ENTRIES = {"round", "model", "settings", "cuts", "clusters", "cluster_names", "tensors", "sha256"}
_BODY, _MOMENTS, _CLUSTER = "body/", "moments/", "cluster-"


class CheckpointError(ValueError):
    """A checkpoint cannot be used."""


def checkpoint_folder(run_folder: Path) -> Path:
    """Return the folder of a run's last checkpoint."""
    return run_folder / "checkpoint"


def client_folder(run_folder: Path) -> Path:
    """Return the folder in which a simulation keeps what its virtual clients hold privately."""
    return checkpoint_folder(run_folder) / "clients"


def save_server(coordinator: Coordinator, run_folder: Path) -> None:
    """Write weights, moments, clusters and the number of the finished round.

    The tensors come first, under the round's name; the small file that points at them comes last, so that a
    crash in between leaves the checkpoint of the round before.
    """
    folder = checkpoint_folder(run_folder)
    tensors = {
        **flatten_blocks(coordinator.executor.segments.states(), _BODY),
        **{_MOMENTS + name: value for name, value in coordinator.executor.segments.moments().items()},
    }
    for cluster, blocks in coordinator.cluster_blocks.items():
        tensors.update(flatten_blocks(blocks, f"{_CLUSTER}{cluster}/"))
    name = f"server-{coordinator.round:04}.safetensors"
    write_tensors(folder / name, tensors)
    state = {
        "version": VERSION,
        "round": coordinator.round,
        "model": coordinator.spec.model_dump(mode="json"),
        "settings": _settings(coordinator.config),
        "cuts": _listed(coordinator.cuts),
        "cuts_before": _listed(coordinator.cuts_before),
        "beliefs": coordinator.reselection.state() if coordinator.reselection else None,
        "clusters": {str(client): cluster for client, cluster in coordinator.clusters.items()},
        "cluster_names": sorted(coordinator.cluster_blocks),
        "tensors": name,
        "sha256": _digest(folder / name),
    }
    write_json(folder / "server.json", state)
    for old in folder.glob("server-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_server(coordinator: Coordinator, run_folder: Path) -> None:
    """Go on from the checkpoint of another run.

    Raises ``CheckpointError`` naming what is wrong if there is none, it is damaged, of a newer version, or of
    other networks, cuts or clients.
    """
    folder = checkpoint_folder(run_folder)
    state = _read_state(folder / "server.json")
    _check(state.get("model") == coordinator.spec.model_dump(mode="json"), folder, "is of another network")
    cuts = state.get("cuts", {})
    assert isinstance(cuts, dict)
    # Where cuts change, those of the checkpoint are later ones, but must be of the same clients.
    alike = cuts.keys() == _listed(coordinator.cuts).keys() if coordinator.reselection else False
    _check(alike or cuts == _listed(coordinator.cuts), folder, "is of other clients or cuts")
    differing = _differences(state["settings"], _settings(coordinator.config))
    _check(not differing, folder, f"is of a run with other settings: {', '.join(differing)}")
    path = folder / str(state["tensors"])
    _check(path.is_file() and _digest(path) == state["sha256"], folder, f"is damaged: {path.name}")
    tensors = read_tensors(path)
    segments = coordinator.executor.segments
    segments.load(unflatten_blocks(tensors, _BODY))
    segments.load_moments(
        {name.removeprefix(_MOMENTS): value for name, value in tensors.items() if name.startswith(_MOMENTS)}
    )
    coordinator.take_cuts(_cuts(cuts), before=_cuts(state.get("cuts_before", cuts)))
    if coordinator.reselection is not None:
        coordinator.reselection.load_state(state["beliefs"])
    names = state["cluster_names"]
    assert isinstance(names, list)
    coordinator.cluster_blocks = {
        cluster: unflatten_blocks(tensors, f"{_CLUSTER}{cluster}/") for cluster in names
    }
    clusters = state["clusters"]
    assert isinstance(clusters, dict)
    coordinator.clusters = {int(client): cluster for client, cluster in clusters.items()}
    coordinator.round = int(str(state["round"]))


def save_moments(segments: Segments, folder: Path, client: int, number: int) -> str:
    """Write a client's moments after round ``number``; return the file's checksum.

    Those of the round before stay: if the server does not finish this round, training goes on from them.
    """
    path = _moments_file(folder, client, number)
    write_tensors(path, segments.moments())
    for old in folder.glob(f"client-{client}-round-*.safetensors"):
        if old not in (path, _moments_file(folder, client, number - 1)):
            old.unlink()
    return _digest(path)


def load_moments(
    segments: Segments, folder: Path, client: int, number: int, checksum: str | None = None
) -> bool:
    """Take over what a client saved after round ``number``, if it did; returns whether it did.

    Raises ``CheckpointError`` if ``checksum`` is given and there is no such file.
    """
    path = _moments_file(folder, client, number)
    if checksum is not None and not (path.is_file() and _digest(path) == checksum):
        raise CheckpointError(f"{path}: these are not the moments that client {client} saved last")
    if not path.is_file():
        return False
    segments.load_moments(read_tensors(path))
    return True


def _listed(cuts: Mapping[int, Cut]) -> dict[str, list[int]]:
    return {str(client): list(cut) for client, cut in cuts.items()}


def _cuts(listed: object) -> dict[int, Cut]:
    assert isinstance(listed, dict)
    return {int(client): Cut(*cut) for client, cut in listed.items()}


def _settings(config: RunConfig) -> dict[str, RunConfigValue]:
    """Return what must not change when a run is resumed, by its key in Flower's run config."""
    return {key: value for key, value in to_run_config(config).items() if not key.startswith(_MAY_CHANGE)}


def _differences(saved: object, now: Mapping[str, RunConfigValue]) -> list[str]:
    assert isinstance(saved, dict)
    return sorted(key for key in saved.keys() | now.keys() if saved.get(key) != now.get(key))


def _moments_file(folder: Path, client: int, number: int) -> Path:
    return folder / f"client-{client}-round-{number:04}.safetensors"


def _read_state(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise CheckpointError(f"resume: {path.parent} has no checkpoint")
    try:
        state = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"resume: {path} is damaged: {error}") from error
    whole = isinstance(state, dict) and isinstance(state.get("version"), int)
    _check(whole, path.parent, f"is damaged: {path.name}")
    _check(state["version"] <= VERSION, path.parent, "is of a newer version of this program")
    _check(state.keys() >= _ENTRIES, path.parent, f"is damaged: {path.name}")
    assert isinstance(state, dict)
    return state


def _check(condition: bool, folder: Path, problem: str) -> None:
    if not condition:
        raise CheckpointError(f"resume: the checkpoint in {folder} {problem}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
