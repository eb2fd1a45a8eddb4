"""The server of Federated Split GANs: the generator, and the average of all discriminators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Placement, Price, priced
from huscf_flwr.cuts.baselines import server_generator_turn
from huscf_flwr.cuts.placement import networks_sent
from huscf_flwr.federation import aggregate
from huscf_flwr.methods.contract import Collected, Description, Form, Order, Orders, Outcome, State, form_of
from huscf_flwr.methods.fsgan.client import FSGANClient
from huscf_flwr.methods.fsgan.crossing import CROSSING, DISCRIMINATOR
from huscf_flwr.methods.fsgan.executor import FSGANExecutor
from huscf_flwr.methods.fsgan.settings import FSGANSettings
from huscf_flwr.methods.server_generator import ServerGeneratorMethod
from huscf_flwr.models import BlockStates, build_network, flatten_blocks, unflatten_blocks
from huscf_flwr.process import dtype_of

_EVERYBODY = "everybody"
"""The only group."""
_AVERAGE = "average/"
"""How the names of the averaged discriminator's tensors begin in a state."""


class FSGAN(ServerGeneratorMethod):
    """Federated Split GANs (arXiv 2207.01750), with one device a client.

    From the paper and its public code: all clients have the same batch of fakes in a step, the generator's
    loss is the sum of theirs, and after every epoch discriminators are averaged, whatever the number of
    images. There, a client is somebody with several devices that trust each other, which hold the
    discriminator in parts one after the other. Here a client is one device, and the discriminator is whole
    on it; every client can hold it. Our reading: networks are conditional, so that fakes have labels, drawn
    uniformly; running statistics are averaged like weights; the moments of the optimisers stay on the
    clients. A round is one epoch.

    Attributes:
        discriminator: the average.
    """

    name: ClassVar = "fsgan"
    Settings: ClassVar = FSGANSettings
    client: ClassVar = FSGANClient
    crossing: ClassVar = CROSSING
    epoch_rounds: ClassVar = True

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        blocks = build_network(self.generator.spec, "discriminator", seed=config.seed, dtype=dtype_of(config))
        self.discriminator: BlockStates = blocks.states()

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:  # noqa: ARG003 - the same for all
        """Return the price of a step, and of the discriminators down and up once a round."""
        return priced(
            Placement(
                step=(server_generator_turn(problem, 1, batches_down=1),),
                once_a_round=networks_sent(problem, "discriminator"),
            ),
            problem,
        )

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - as of now
        """Return the averaged discriminator, for everybody."""
        return Orders(
            clients={client: Order(groups=(_EVERYBODY,)) for client in clients},
            groups={_EVERYBODY: {DISCRIMINATOR: flatten_blocks(self.discriminator)}},
        )

    def executor(self, number: int, clients: Sequence[int]) -> FSGANExecutor:
        """Return what lets the generator take part in the round."""
        return FSGANExecutor(self.generator, number, clients)

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return types and shapes of a discriminator."""
        return form_of({DISCRIMINATOR: flatten_blocks(self.discriminator)})

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - rounds are alike
        """Average the discriminators of those that took part, all with the same weight."""
        sent = {k: unflatten_blocks(each.tensors[DISCRIMINATOR]) for k, each in collected.uploads.items()}
        weights, together = dict.fromkeys(sent, 1 / len(sent)), dict.fromkeys(sent, 0)
        averaged = aggregate(sent, {}, together, weights, weights, buffers="average")
        (self.discriminator,) = averaged.clusters.values()
        return Outcome(clients={client: {"weight": weight} for client, weight in weights.items()})

    def state(self) -> State:
        """Return the generator with its moments, and the averaged discriminator."""
        return State({}, {**self.generator.tensors(), **flatten_blocks(self.discriminator, _AVERAGE)})

    def load(self, state: State) -> None:
        """Go on from ``state``."""
        self.generator.load(state.tensors)
        self.discriminator = unflatten_blocks(state.tensors, _AVERAGE)
