"""The images of a scenario's virtual clients as the data folders of real ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population, following_data, population_of, write_idx_folder
from huscf_flwr.existing import refuse_existing
from huscf_flwr.models import model_spec_of


def write_client_data(config: RunConfig, root: Path, *, replace: bool = False) -> dict[int, Path]:
    """Write a folder in MNIST's file format below ``root`` for each client; return them by client.

    A client gets the images that it holds in a simulation, in their order, those that it will hold out among
    them, and its share of its domain's test images. To ``replace`` a folder that is there deletes all that is
    in it. Raises ``FileExistsError`` naming what is there otherwise; nothing is written then.
    """
    config = following_data(config)
    folders = {client: root / f"client-{client}" for client in range(config.clients)}
    if not replace:
        refuse_existing(folders.values())
    population = population_of(config, model_spec_of(config), examine=False)
    for client, folder in folders.items():
        _remove(folder)
        _write(population, population.domain_of(), client, folder)
    return folders


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it; of a link, the link only."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _write(population: Population, domain_of: Mapping[int, str], client: int, folder: Path) -> None:
    members = [other for other, domain in domain_of.items() if domain == domain_of[client]]
    test = population.domains[domain_of[client]].test
    own = torch.arange(members.index(client), len(test), len(members))
    write_idx_folder(folder, population.held_by(client), test.subset(own))
