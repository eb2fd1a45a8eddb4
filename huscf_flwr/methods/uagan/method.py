"""UA-GAN's server: the generator, and how many images of each class the clients have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import ClassVar

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Placement, Price, Turn, priced
from huscf_flwr.cuts.baselines import server_generator_turn
from huscf_flwr.cuts.placement import crossing_bytes, image_numbers, packed, way_back_gflop
from huscf_flwr.methods.contract import Collected, Description, Form, Order, Orders, Outcome, State
from huscf_flwr.methods.held_classes import described_by
from huscf_flwr.methods.label_counts import check_counts
from huscf_flwr.methods.server_generator import ServerGeneratorMethod
from huscf_flwr.methods.uagan.client import UAGANClient
from huscf_flwr.methods.uagan.crossing import CROSSING, UAGANDescription
from huscf_flwr.methods.uagan.executor import UAGANExecutor
from huscf_flwr.methods.uagan.settings import UAGANSettings


class UAGAN(ServerGeneratorMethod):
    """Universal aggregation GAN (arXiv 2102.04655): the generator learns from one joint discriminator.

    From the paper and its public code: all clients have the same batch of fakes in a step, with labels drawn
    uniformly; the odds of the joint discriminator are the clients' odds, each weighted by the client's share
    of the images of that label; every client begins with weights of its own. Our reading: losses are those of
    the other methods here, without the penalty on gradients and the factors that the public code has;
    labels that nobody holds are not drawn; with some of the clients in a round, shares are those among them.
    Nothing is averaged and no discriminator leaves its client, so a round is ``local_epochs`` epochs: it
    needs no message in between.

    The gradient goes to clients in proportion to their odds: to those that take a fake for real already.
    Where one label means different things in different domains, the generator can therefore settle in one of
    them and get next to no gradient from clients of the others; in the demo it does.
    """

    name: ClassVar = "uagan"
    Settings: ClassVar = UAGANSettings
    client: ClassVar = UAGANClient
    crossing: ClassVar = CROSSING
    epoch_rounds: ClassVar = False

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start; raises ``ValueError`` if a client holds a class that the model lacks."""
        super().__init__(config, clients)
        spec = self.generator.spec
        described = described_by(self.clients, UAGANDescription, method=self.name)
        check_counts(described, spec)
        self._counts = {client: each.counts for client, each in described.items()}
        self._executor: UAGANExecutor | None = None

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:  # noqa: ARG003 - the same for all
        """Return the price of a step, whose generator's loss is known once all logits have come.

        The pass forward at which it is computed is in the first turn, the way back in the second.
        """
        whole = server_generator_turn(problem, 1, batches_down=1)
        back = way_back_gflop(problem, "discriminator")
        crossing = packed(problem, image_numbers(problem) + problem.batch_size)
        first = Turn(
            server_gflop=whole.server_gflop,
            down_bytes=whole.down_bytes,
            client_gflop=whole.client_gflop - back,
            up_bytes=crossing_bytes(problem, 1),
            packed_numbers=crossing,
        )
        logits_gradient = crossing_bytes(problem, 1, gradients=True)
        second = Turn(
            down_bytes=logits_gradient,
            client_gflop=back,
            up_bytes=whole.up_bytes,
            packed_numbers=crossing,
        )
        return priced(Placement(step=(first, second)), problem)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - always empty
        """Return nothing but that the round begins."""
        return Orders(clients={client: Order() for client in clients})

    def executor(self, number: int, clients: Sequence[int]) -> UAGANExecutor:
        """Return what lets the generator take part in the round."""
        self._executor = UAGANExecutor(self.generator, number, clients, counts=self._counts)
        return self._executor

    def form(self, client: int) -> Form:  # noqa: ARG002 - the same for all
        """Return that nothing is uploaded."""
        return {}

    def close_round(self, number: int, collected: Collected) -> Outcome:  # noqa: ARG002 - uploads are empty
        """Tell the generator's mean loss, which no client knows."""
        losses = self._executor.losses if self._executor else []
        return Outcome(facts={"generator_loss": fmean(losses)} if losses else {})

    def state(self) -> State:
        """Return the generator with its moments."""
        return State({}, self.generator.tensors())

    def load(self, state: State) -> None:
        """Go on from ``state``."""
        self.generator.load(state.tensors)
