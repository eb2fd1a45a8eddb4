"""Data: domains, scenarios, the partition of images over clients, what a client has, the order of batches.

All of it runs where the data is: on a client, or in a simulation, which holds the data of all clients and
judges the result. Nothing here sends anything.
"""

from huscf_flwr.data.client_data import ClientData, split_held_out
from huscf_flwr.data.domain_source import DomainSource
from huscf_flwr.data.domains import Domain, load_domain, load_domains
from huscf_flwr.data.following import check_domains_are_known, following_data, networks_told
from huscf_flwr.data.idx import read_idx, read_idx_folder, write_idx, write_idx_folder
from huscf_flwr.data.images import (
    DataError,
    Fit,
    LabelledImages,
    PooledImages,
    convert,
    denormalise,
    normalise,
    together,
)
from huscf_flwr.data.partition import Partition, PartitionRules, clients_per_domain, partition
from huscf_flwr.data.population import Population, load_population, population_of, scenario_of
from huscf_flwr.data.registry import register_domain, registered_names
from huscf_flwr.data.sampling import BatchSampler, FreshDraw, ShuffledPasses
from huscf_flwr.data.scenarios import Scenario, load_scenario

__all__ = [
    "BatchSampler",
    "ClientData",
    "DataError",
    "Domain",
    "DomainSource",
    "Fit",
    "FreshDraw",
    "LabelledImages",
    "Partition",
    "PartitionRules",
    "PooledImages",
    "Population",
    "Scenario",
    "ShuffledPasses",
    "check_domains_are_known",
    "clients_per_domain",
    "convert",
    "denormalise",
    "following_data",
    "load_domain",
    "load_domains",
    "load_population",
    "load_scenario",
    "networks_told",
    "normalise",
    "partition",
    "population_of",
    "read_idx",
    "read_idx_folder",
    "register_domain",
    "registered_names",
    "scenario_of",
    "split_held_out",
    "together",
    "write_idx",
    "write_idx_folder",
]
