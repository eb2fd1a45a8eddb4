"""The virtual clients of a scenario with their private images.

In a simulation every host can build the whole population, because scenario and seed determine it; a host
uses only the clients that it hosts. The server's half of a method never sees one: only the judge of a
simulation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from huscf_flwr.config import RunConfig
from huscf_flwr.data.domains import Domain, DomainSource, load_domain
from huscf_flwr.data.images import LabelledImages
from huscf_flwr.data.partition import Partition, PartitionRules, partition
from huscf_flwr.data.scenarios import Scenario, load_scenario
from huscf_flwr.models import ModelSpec


@dataclass(frozen=True, eq=False)
class Population:
    """All virtual clients and the domains that their images come from."""

    domains: Mapping[str, Domain]
    partitions: tuple[Partition, ...]

    def images_of(self, client: int) -> LabelledImages:
        """Return the training images that ``client`` holds."""
        part = self.partitions[client]
        return self.domains[part.domain].train.subset(torch.from_numpy(part.indices))

    def domain_of(self) -> dict[int, str]:
        """Return the domain of each client, which the server is never told."""
        return {part.client: part.domain for part in self.partitions}


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
) -> Population:
    """Load the domains of ``scenario`` and deal their training images to ``clients`` clients.

    Raises ``DataError`` as ``load_domain`` and ``partition`` do.
    """
    domains = {
        source.name: load_domain(source, root=root, cache=cache, image=image, classes=classes)
        for source in scenario.domains
    }
    labels = {name: domain.train.labels for name, domain in domains.items()}
    parts = partition(scenario, labels, clients=clients, seed=seed, rules=rules)
    return Population(domains, parts)


def scenario_of(config: RunConfig) -> Scenario:
    """Return the scenario, with the domains of ``data.domains`` if they are given."""
    domains = None
    if config.data.domains is not None:
        domains = [DomainSource(name=name) for name in config.data.domains]
    return load_scenario(config.data.scenario, domains)


def population_of(config: RunConfig, spec: ModelSpec) -> Population:
    """Load the virtual clients of the scenario with their images."""
    return load_population(
        scenario_of(config),
        clients=config.clients,
        seed=config.seed,
        image=(spec.image.channels, spec.image.size),
        classes=spec.classes,
        root=config.data.root,
        cache=config.data.cache,
        rules=PartitionRules(
            id_offset=config.data.id_offset, exclusion_pattern=config.data.exclusion_pattern
        ),
    )
