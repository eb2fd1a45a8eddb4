"""The images of a scenario's virtual clients as the data folders of real ones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population, following_data, population_of, write_idx_folder
from huscf_flwr.existing import check_outputs
from huscf_flwr.models import model_spec_of

_OF_A_CLIENT = re.compile(r"client-\d+")


@dataclass(frozen=True)
class ClientFolders:
    """What was written."""

    paths: Mapping[int, Path]
    """The data folder of each client."""
    class_names: Mapping[int, tuple[str, ...]]
    """What each client's classes are called, by label, if ``class-names`` can say it: the files cannot."""
    classes: int
    """How many classes the networks have: a client may lack the first or the last."""
    settings: Mapping[str, object]
    """What a run on these folders has to say of its networks, by dotted name: its server sees no image."""
    notes: tuple[str, ...]
    """What was done with the images that a reader may not expect, and what is odd about them."""


def write_client_data(config: RunConfig, root: Path, *, replace: bool = False) -> ClientFolders:
    """Write a folder ``client-<id>`` in MNIST's file format below ``root`` for each client.

    A client gets the images that it holds in a simulation, in their order, those that it will hold out among
    them, and its share of its domain's test images. To ``replace`` deletes all folders of clients that are
    there with all that is in them, those of more clients than there are now, too: images of two partitions
    are never mixed. Raises ``FileExistsError`` naming what is there otherwise; nothing is written then.
    """
    paths = {client: root / f"client-{client}" for client in range(config.clients)}
    # Before anything is looked for in the root, which may have a name that the system refuses.
    check_outputs(folders=paths.values(), replaces=replace)
    before = sorted(path for path in root.glob("client-*") if _OF_A_CLIENT.fullmatch(path.name))
    check_outputs(folders=before, replaces=replace)
    said = config.model
    config = following_data(config)
    spec = model_spec_of(config)
    population = population_of(config, spec)
    for path in before:
        _remove(path)
    domain_of = population.domain_of()
    for client, path in paths.items():
        _write(population, domain_of, client, path)
    names = {client: population.domains[domain_of[client]].class_names for client in paths}
    sayable = {client: each for client, each in names.items() if _can_be_said(each, spec.classes)}
    settings = {f"model.{name}": value for name, value in config.model if value != getattr(said, name)}
    return ClientFolders(paths, sayable, spec.classes, settings, population.notes)


def _can_be_said(names: Sequence[str], classes: int) -> bool:
    """Return whether a node config can say them: all that the networks have, with commas between."""
    return len(names) == classes and all(name == name.strip() and "," not in name for name in names)


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it; of a link, the link only."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def _write(population: Population, domain_of: Mapping[int, str], client: int, folder: Path) -> None:
    members = [other for other, domain in domain_of.items() if domain == domain_of[client]]
    test = population.domains[domain_of[client]].test
    own = torch.arange(members.index(client), len(test), len(members))
    write_idx_folder(folder, population.held_by(client), test.subset(own))
