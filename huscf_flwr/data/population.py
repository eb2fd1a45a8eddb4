"""The virtual clients of a scenario with their private images.

In a simulation every host can build the whole population, because scenario and seed determine it; a host
uses only the clients that it hosts. The server's half of a method never sees one: only the judge of a
simulation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.data.client_data import ClientData, held_out_places
from huscf_flwr.data.domain_source import DomainSource
from huscf_flwr.data.domains import Domain, JudgedOn, load_domains
from huscf_flwr.data.images import Fit, LabelledImages, PooledImages
from huscf_flwr.data.partition import Indices, Partition, PartitionRules, partition
from huscf_flwr.data.scenarios import Scenario, load_scenario
from huscf_flwr.data.unheld import unheld_notes
from huscf_flwr.models import ModelSpec


@dataclass(frozen=True, eq=False)
class Population:
    """All virtual clients and the domains that their images come from.

    Attributes:
        domains: by name, in the scenario's order.
        partitions: of all clients, in the order of their ids, which count from 0.
        unheld: which training images and classes no client holds, a sentence each.
    """

    domains: Mapping[str, Domain]
    partitions: tuple[Partition, ...]
    unheld: tuple[str, ...] = ()

    def images_of(self, client: int) -> LabelledImages:
        """Return the images that ``client`` trains on; ``PooledImages`` if it stands for several."""
        part = self.partitions[client]
        images = self._training_images(part, part.indices)
        if part.shares is None:
            return images
        return PooledImages(images.images, images.labels, part.shares)

    def data_of(self, client: int) -> ClientData:
        """Return what ``client`` has: images to train on, those held out, and its domain's test set."""
        part = self.partitions[client]
        domain = self.domains[part.domain]
        held_out = self._training_images(part, part.held_out)
        return ClientData(self.images_of(client), held_out, domain.test, domain)

    def held_by(self, client: int) -> LabelledImages:
        """Return all images that ``client`` holds, those held out among them, in the order of its domain."""
        part = self.partitions[client]
        return self._training_images(part, np.sort(np.concatenate([part.indices, part.held_out])))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done with the images that a reader may not expect, a sentence each."""
        return (*(note for domain in self.domains.values() for note in domain.notes), *self.unheld)

    def domain_of(self) -> dict[int, str]:
        """Return the domain of each client, which the server is never told."""
        return {part.client: part.domain for part in self.partitions}

    def pooled(self) -> Population:
        """Return the population in which each domain is one client, as if images might leave their clients.

        Client i is the i-th domain. It trains on what the domain's clients would train on, one client's
        images after the other's in the order of their ids, and holds out what they would hold out.
        """
        members: dict[str, list[Partition]] = {name: [] for name in self.domains}
        for part in self.partitions:
            members[part.domain].append(part)
        return replace(
            self,
            partitions=tuple(
                Partition(
                    client,
                    name,
                    np.concatenate([part.indices for part in parts]),
                    np.concatenate([part.held_out for part in parts]),
                    tuple(len(part.indices) for part in parts),
                )
                for client, (name, parts) in enumerate(members.items())
            ),
        )

    def _training_images(self, part: Partition, indices: Indices) -> LabelledImages:
        return self.domains[part.domain].train.subset(torch.from_numpy(indices))


def load_population(
    scenario: Scenario,
    *,
    clients: int,
    seed: int,
    image: tuple[int, int],
    classes: int,
    root: Path | None,
    cache: Path,
    rules: PartitionRules,
    held_out: float = 0.0,
    judged_on: JudgedOn = "test",
    fit: Fit = "pad",
    examine: bool = True,
) -> Population:
    """Load the domains of ``scenario`` and deal their training images to ``clients`` clients.

    Each holds out the share ``held_out`` of its images (see ``split_held_out``). Images for validation, if
    ``judged_on`` says so, are set aside before (see ``load_domains``). Raises ``DataError`` as
    ``load_domain`` and ``partition`` do.
    """
    domains = load_domains(
        scenario.domains,
        root=root,
        cache=cache,
        image=image,
        classes=classes,
        judged_on=judged_on,
        fit=fit,
        examine=examine,
    )
    labels = {name: domain.train.labels for name, domain in domains.items()}
    columns = {name: domain.train.columns for name, domain in domains.items()}
    holders = {n: domain.train.holders for n, domain in domains.items() if domain.train.holders is not None}
    parts = partition(
        scenario,
        labels,
        clients=clients,
        seed=seed,
        rules=rules,
        columns=columns,
        holders=holders,
    )
    return Population(domains, tuple(_split(part, held_out, seed) for part in parts))


def scenario_of(config: RunConfig) -> Scenario:
    """Return the scenario, with the domains of ``data.domains`` if they are given."""
    domains = None
    if config.data.domains is not None:
        domains = [DomainSource(name=name) for name in config.data.domains]
    return load_scenario(config.data.scenario, domains)


def population_of(config: RunConfig, spec: ModelSpec, *, examine: bool = True) -> Population:
    """Load the virtual clients of the scenario with their images, and ``examine`` these for its notes."""
    scenario = scenario_of(config)
    population = load_population(
        scenario,
        clients=config.clients,
        seed=config.seed,
        image=(spec.image.channels, spec.image.size),
        classes=spec.classes,
        root=config.data.root,
        cache=config.data.cache,
        rules=PartitionRules(
            id_offset=config.data.id_offset, exclusion_pattern=config.data.exclusion_pattern
        ),
        held_out=config.data.held_out,
        judged_on=config.data.judged_on,
        fit=config.data.fit,
        examine=examine,
    )
    unheld = unheld_notes(
        population.domains, population.partitions, scenario, config.data.scenario, config.data.domains
    )
    return replace(population, unheld=unheld)


def _split(part: Partition, fraction: float, seed: int) -> Partition:
    held_out = held_out_places(len(part.indices), fraction, seed=seed, client=part.client).numpy()
    if not held_out.any():
        return part
    return replace(part, indices=part.indices[~held_out], held_out=part.indices[held_out])
