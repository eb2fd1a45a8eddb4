"""Central training's server, which has the networks of each domain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Placement, Price, Turn, priced
from huscf_flwr.cuts.placement import network_gflop
from huscf_flwr.methods.central.client import CentralClient
from huscf_flwr.methods.central.crossing import CROSSING, CentralOrder, PooledDescription
from huscf_flwr.methods.central.settings import CentralSettings
from huscf_flwr.methods.contract import (
    Collected,
    Description,
    Form,
    Method,
    Order,
    Orders,
    Outcome,
    Product,
    State,
    Tensors,
    form_of,
)
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import (
    BlockStates,
    Sampler,
    flatten_blocks,
    initial_states,
    model_spec_of,
    unflatten_blocks,
)
from huscf_flwr.process import dtype_of


class Central(Method):
    """One whole conditional GAN a domain, on the images of all of its clients: what no federation can have.

    It takes as many steps as HuSCF-GAN would with the same clients, with ``central.batch_size`` images each;
    networks, initial weights and optimisers are HuSCF-GAN's. Its clients are the domains (``pools_domains``).
    """

    name: ClassVar = "central"
    Settings: ClassVar = CentralSettings
    client: ClassVar = CentralClient
    crossing: ClassVar = CROSSING
    pools_domains: ClassVar = True

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.spec = model_spec_of(config)
        initial = initial_states(self.spec, seed=config.seed, dtype=dtype_of(config))
        self.networks: dict[int, BlockStates] = dict.fromkeys(self.clients, initial)
        self._generators: dict[int, BlockStates] = {}

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` if only a share of the domains would train: each has all of its images."""
        if config.fraction_train < 1:
            raise ValueError(
                f"fraction_train: {config.fraction_train:g}, but central trains every domain in every round; "
                "set it to 1"
            )

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:
        """Return the price of a step of all domains on the server, where all of their images are."""
        batches = config.settings(CentralSettings).batch_size / problem.batch_size
        both = network_gflop(problem, "generator") + network_gflop(problem, "discriminator")
        return priced(Placement(step=(Turn(server_gflop=len(problem.devices) * batches * both),)), problem)

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from a domain's generator."""
        return drawing_from(config, product)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return epochs times the batches of the largest client that was pooled, in whichever domain.

        That is what HuSCF-GAN takes with all clients in the round.
        """
        largest = max(self._described(client).largest for client in self.clients)
        return self.config.local_epochs * math.ceil(largest / self.config.batch_size)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return each domain's networks, and how long to train them."""
        facts = CentralOrder(steps=self.steps(number, clients))
        return Orders(
            clients={
                client: Order(facts=facts, tensors={NETWORKS: flatten_blocks(self.networks[client])})
                for client in clients
            }
        )

    def form(self, client: int) -> Form:
        """Return types and shapes of both networks."""
        return form_of({NETWORKS: flatten_blocks(self.networks[client])})

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - rounds are alike
        """Take each domain's networks over as they were trained."""
        for client, upload in collected.uploads.items():
            self.networks[client] = unflatten_blocks(upload.tensors[NETWORKS])
            self._generators.pop(client, None)
        return Outcome()

    def products(self) -> list[Product]:
        """Return each domain's generator, with running statistics measured as those of averages are."""
        return [
            Product(f"pool-{client}", (client,), flatten_blocks(self._generator(client)))
            for client in self.clients
        ]

    def state(self) -> State:
        """Return the networks of all domains."""
        return State({}, {k: t for client in self.clients for k, t in self._flat(client).items()})

    def load(self, state: State) -> None:
        """Go on from the networks of ``state``."""
        self.networks = {
            client: unflatten_blocks(state.tensors, f"pool-{client}/") for client in self.clients
        }
        self._generators = {}

    def _flat(self, client: int) -> Tensors:
        return flatten_blocks(self.networks[client], f"pool-{client}/")

    def _described(self, client: int) -> PooledDescription:
        described = self.clients[client]
        assert isinstance(described, PooledDescription)
        return described

    def _generator(self, client: int) -> BlockStates:
        if client not in self._generators:
            self._generators[client] = measured_generator(self.config, self.networks[client])
        return self._generators[client]
