"""MD-GAN's server: the generator, and discriminators on their way to another client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Placement, Price, priced
from huscf_flwr.cuts.baselines import server_generator_turn
from huscf_flwr.cuts.placement import networks_sent
from huscf_flwr.methods.contract import (
    Collected,
    Description,
    Form,
    Order,
    Orders,
    Outcome,
    State,
    Tensors,
)
from huscf_flwr.methods.mdgan.client import MDGANClient
from huscf_flwr.methods.mdgan.crossing import CROSSING, DISCRIMINATOR, MDGANOrder
from huscf_flwr.methods.mdgan.executor import MDGANExecutor
from huscf_flwr.methods.mdgan.settings import MDGANSettings
from huscf_flwr.methods.mdgan.sharing import batch_count, swapped
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.server_generator import ServerGeneratorMethod
from huscf_flwr.models import build_network, flatten_blocks
from huscf_flwr.process import dtype_of
from huscf_flwr.seeding import numpy_stream
from huscf_flwr.session import TensorHeader


class MDGAN(ServerGeneratorMethod):
    """Multi-discriminator GAN (arXiv 1811.03850): one generator, and discriminators that go round.

    From the paper: the generator draws k batches in a step, each client gets two of them, one step of its
    discriminator (L = 1) and its feedback follow, and the generator steps on the mean of all feedback; every
    E epochs discriminators are swapped. Our reading: fakes have labels, drawn uniformly, and all losses are
    those of the other methods here, the generator's the non-saturating one; discriminators swap through the
    server, among those that have finished the round, so that none stays. Whoever is left out of a round, or
    drops out, keeps its own. A round is one epoch.

    Attributes:
        waiting: by client, the discriminator that it has been given and not yet finished a round with.
    """

    name: ClassVar = "mdgan"
    Settings: ClassVar = MDGANSettings
    client: ClassVar = MDGANClient
    crossing: ClassVar = CROSSING
    epoch_rounds: ClassVar = True

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.settings = config.settings(MDGANSettings)
        self.waiting: dict[int, Tensors] = {}
        blocks = build_network(self.generator.spec, "discriminator", dtype=dtype_of(config))
        self._form = {name: TensorHeader.of(each) for name, each in flatten_blocks(blocks.states()).items()}
        self._swap = False

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:
        """Return the price of a step; a swap costs the same in each round, on average."""
        settings = config.settings(MDGANSettings)
        batches = batch_count(settings.batches, len(problem.devices))
        return priced(
            Placement(
                step=(server_generator_turn(problem, batches, batches_down=2),),
                once_a_round=networks_sent(problem, "discriminator", every=settings.swap_every),
            ),
            problem,
        )

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return whether there is a swap after the round; and for whom one waits, its new discriminator."""
        self._swap = number % self.settings.swap_every == 0
        facts = MDGANOrder(swap=self._swap)
        brought = {client: {DISCRIMINATOR: discriminator} for client, discriminator in self.waiting.items()}
        return Orders(
            clients={client: Order(facts=facts, tensors=brought.get(client, {})) for client in clients}
        )

    def executor(self, number: int, clients: Sequence[int]) -> MDGANExecutor:
        """Return what lets the generator take part in the round."""
        batches = batch_count(self.settings.batches, len(clients))
        return MDGANExecutor(self.generator, number, clients, batches=batches)

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of a discriminator in a round that ends with a swap, else of nothing."""
        return {DISCRIMINATOR: self._form} if self._swap else {}

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Swap the discriminators of those that took part, if it is time; tell who has whose."""
        finished = collected.uploads
        self.waiting = {client: each for client, each in self.waiting.items() if client not in finished}
        if not self._swap:
            return Outcome()
        sent = {
            client: {name: tensor.clone() for name, tensor in upload.tensors[DISCRIMINATOR].items()}
            for client, upload in finished.items()
        }
        givers = swapped(list(sent), numpy_stream(self.config.seed, "swap", number))
        self.waiting |= {client: sent[giver] for client, giver in givers.items()}
        return Outcome(clients={client: {"discriminator_of": giver} for client, giver in givers.items()})

    def state(self) -> State:
        """Return the generator with its moments, and the discriminators that wait for their clients."""
        tensors = dict(self.generator.tensors())
        for client, discriminator in self.waiting.items():
            tensors |= with_prefix(_place(client), discriminator)
        return State({}, tensors)

    def load(self, state: State) -> None:
        """Go on from ``state``."""
        self.generator.load(state.tensors)
        found = {client: below_prefix(_place(client), state.tensors) for client in self.clients}
        self.waiting = {client: discriminator for client, discriminator in found.items() if discriminator}


def _place(client: int) -> str:
    """Return how the names of a client's tensors begin."""
    return f"client-{client}/"
