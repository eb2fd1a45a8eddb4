"""The virtual clients of a scenario with their private images.

In a simulation every host can build the whole population, since scenario and seed say who holds what; it
takes from it only the clients that it hosts. The server's side of a run never builds one: only the harness
that judges a simulation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from huscf_flwr.data.domains import Domain, load_domain
from huscf_flwr.data.images import LabelledImages
from huscf_flwr.data.partition import Partition, PartitionRules, partition
from huscf_flwr.data.scenarios import Scenario


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
        """Return the domain of each client, which no server is told."""
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
