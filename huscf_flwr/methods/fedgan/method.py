"""FedGAN's server: the average of all clients' networks, weighted by their sample counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Price, priced, whole_networks
from huscf_flwr.methods.batches import largest_epoch
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
from huscf_flwr.methods.fedgan.client import FedGANClient
from huscf_flwr.methods.fedgan.crossing import CROSSING
from huscf_flwr.methods.fedgan.settings import FedGANSettings
from huscf_flwr.methods.generators import drawing_from, generator_in, measured_generator
from huscf_flwr.methods.sample_averages import averaged_by_samples, sample_weights
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

_EVERYBODY = "everybody"
"""The only group, and the only product's clients."""


class FedGAN(Method):
    """Federated training of a conditional GAN that every client keeps whole (arXiv 2006.07228).

    The paper synchronises after K local steps and weighs by sample counts, p_i = n_i / N. Our reading: K is
    the steps of ``local_epochs`` passes over a client's own images, which differ by client, and the moments
    of the optimisers stay on the client from round to round.
    """

    name: ClassVar = "fedgan"
    Settings: ClassVar = FedGANSettings
    client: ClassVar = FedGANClient
    crossing: ClassVar = CROSSING
    privacy: ClassVar = frozenset({"count_step"})

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.settings = config.settings(FedGANSettings)
        self.spec = model_spec_of(config)
        self.networks: BlockStates = initial_states(self.spec, seed=config.seed, dtype=dtype_of(config))
        self._measured: BlockStates | None = None

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from the averaged generator."""
        return drawing_from(config, product)

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:  # noqa: ARG003 - the same for all
        """Return the price of a step with both networks on the client, which are sent once a round."""
        return priced(whole_networks(problem, sent=True), problem)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return the batches of the largest client."""
        return self.config.local_epochs * largest_epoch(self.clients, clients, self.config)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the averaged networks, for everybody."""
        return Orders(
            clients={client: Order(groups=(_EVERYBODY,)) for client in clients},
            groups={_EVERYBODY: {NETWORKS: flatten_blocks(self.networks)}},
        )

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of both networks."""
        return form_of({NETWORKS: flatten_blocks(self.networks)})

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - rounds are alike
        """Average both networks over the clients that took part, weighted by their sample counts."""
        samples = {client: self.clients[client].samples for client in sorted(collected.uploads)}
        blocks = {k: unflatten_blocks(upload.tensors[NETWORKS]) for k, upload in collected.uploads.items()}
        self._take(averaged_by_samples(blocks, samples, buffers=self.settings.buffers))
        weights = sample_weights(samples)
        return Outcome(clients={client: {"weight": weight} for client, weight in weights.items()})

    def products(self) -> list[Product]:
        """Return the averaged generator, which is everybody's."""
        return [Product("global", tuple(self.clients), flatten_blocks(self._generator()))]

    def state(self) -> State:
        """Return the averaged networks."""
        return State({}, flatten_blocks(self.networks))

    def load(self, state: State) -> None:
        """Go on from the averaged networks of ``state``."""
        self._take(unflatten_blocks(state.tensors))

    def _take(self, networks: BlockStates) -> None:
        self.networks, self._measured = networks, None

    def _generator(self) -> BlockStates:
        if self._measured is None:
            self._measured = self._measured_generator()
        return self._measured

    def _measured_generator(self) -> BlockStates:
        if self.settings.running_statistics == "averaged":
            return generator_in(self.networks)
        return measured_generator(self.config, self.networks)
