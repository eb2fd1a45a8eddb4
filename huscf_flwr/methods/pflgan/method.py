"""PFL-GAN's server: it compares the clients' generators, and trains a personal GAN for each client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Placement, Price, Turn, priced
from huscf_flwr.cuts.placement import network_bytes, network_gflop
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
from huscf_flwr.methods.first_rounds import check_first_rounds
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.methods.pflgan.client import PFLGANClient
from huscf_flwr.methods.pflgan.crossing import CROSSING, PFLGANOrder
from huscf_flwr.methods.pflgan.personal import PersonalTraining
from huscf_flwr.methods.pflgan.settings import PFLGANSettings, local_rounds_of
from huscf_flwr.methods.pflgan.sources import Sources
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


class PFLGAN(Method):
    """A personal GAN for each client, on images of generators of clients like it (arXiv 2308.12454).

    The paper has no public code, and this is a reading of it: hence "PFL-GAN-style" in tables.

    - In the *local* rounds each client trains a conditional GAN on its own images, and sends both networks.
      A client that has missed them all does so in its first round.
    - Then the server draws images from each client's generator, and compares the clients by them
      (``similarity``). It does so once, and again only when another client has joined.
    - In the *collaborative* rounds the server trains the networks of each client of the round, where the
      client left them, for as many steps as a local round of that client has. It draws as many images as the
      client has, from the generators as the clients sent them, in proportion to the weights of the clients,
      with all labels alike. The optimisers begin anew there, since the clients keep the moments of theirs.
      Clients only receive their networks, and say which losses these have on their own images.

    A personal GAN so takes as many steps as one of ``local``. Drawn images never leave the server, but it
    holds networks that were trained on one client's images alone, and can draw from them whatever it likes.

    Each client has a product. The scores of a domain are the means over its clients', as for ``local``.
    """

    name: ClassVar = "pflgan"
    Settings: ClassVar = PFLGANSettings
    client: ClassVar = PFLGANClient
    crossing: ClassVar = CROSSING

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        super().__init__(config, clients)
        self.local_rounds = local_rounds_of(config)
        self.initial = initial_states(model_spec_of(config), seed=config.seed, dtype=dtype_of(config))
        self.networks: dict[int, BlockStates] = {}
        """Of those clients that have trained; the others' are ``initial``."""
        self.moments: dict[int, dict[str, Tensor]] = {}
        self.sources = Sources(config)
        self._local: frozenset[int] = frozenset(self.clients)
        self._measured: dict[int, BlockStates] = {}

    @classmethod
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` for more local rounds than there are rounds."""
        check_first_rounds(config, local_rounds_of(config), "pflgan.local_rounds", "the server trains")

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price:
        """Return the price of a step, the mean of local and collaborative rounds.

        In these the server trains the networks of all clients, as if each had as many steps as the largest.
        Drawing images for them, and the losses that clients look at, are left out.
        """
        local = min(1.0, local_rounds_of(config) / config.rounds)
        both = network_gflop(problem, "generator") + network_gflop(problem, "discriminator")
        step = Turn(server_gflop=(1 - local) * len(problem.devices) * both, client_gflop=local * both)
        once = Turn(down_bytes=network_bytes(problem), up_bytes=local * network_bytes(problem, up=True))
        return priced(Placement(step=(step,), once_a_round=once), problem)

    @classmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from a personal generator."""
        return drawing_from(config, product)

    def steps(self, number: int, clients: Sequence[int]) -> int:  # noqa: ARG002 - the same in all rounds
        """Return the batches of the largest client."""
        return max(self._steps_of(client) for client in clients)

    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return each client's networks, and whether they are to be trained there."""
        self._local = frozenset(client for client in clients if self._trains_locally(client, number))
        return Orders(
            clients={
                client: Order(
                    facts=PFLGANOrder(local=client in self._local),
                    tensors={NETWORKS: flatten_blocks(self.networks.get(client, self.initial))},
                )
                for client in clients
            }
        )

    def form(self, client: int) -> Form:
        """Return types and shapes of both networks; nothing for a client that does not train."""
        if client not in self._local:
            return {}
        return form_of({NETWORKS: flatten_blocks(self.initial)})

    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Take over what clients trained, compare them if need be, and train the networks of the others."""
        sent = {k: upload.tensors[NETWORKS] for k, upload in collected.uploads.items() if upload.tensors}
        for client, tensors in sent.items():
            self.networks[client] = unflatten_blocks(tensors)
            self._measured.pop(client, None)
        facts: dict[str, Any] = {}
        if number >= self.local_rounds:
            self._compare(number, sent)
            facts["weights"] = self.sources.table()
        clients = {client: {"local": client in sent} for client in sorted(collected.uploads)}
        self._train(number, [client for client in clients if client not in sent])
        return Outcome(facts=facts, clients=clients)

    def products(self) -> list[Product]:
        """Return the generator of each client that has trained one, with its statistics measured."""
        return [
            Product(f"client-{client}", (client,), flatten_blocks(self._generator(client)))
            for client in sorted(self.networks)
        ]

    def all_judged_for(self, clients: Sequence[int]) -> Sequence[Product]:
        """Return the generators of all ``clients``."""
        return [product for product in self.products() if set(product.clients) & set(clients)]

    def state(self) -> State:
        """Return all networks, the server's moments, and the sources with their weights."""
        tensors: dict[str, Tensor] = {}
        for client in sorted(self.networks):
            tensors |= flatten_blocks(self.networks[client], f"networks/{client}/")
        for client, moments in self.moments.items():
            tensors |= with_prefix(f"moments/{client}/", moments)
        return State({"trained": sorted(self.networks)}, {**tensors, **self.sources.tensors()})

    def load(self, state: State) -> None:
        """Go on from ``state``; raises ``ValueError`` if it is of clients that are not here."""
        trained = set(state.facts["trained"])
        unknown = sorted(trained - self.clients.keys())
        if unknown:
            raise ValueError(
                f"resume: the checkpoint has networks of clients {unknown}, but the run has the clients "
                f"{list(self.clients)}; resume it with the same ones"
            )
        self.networks = {
            client: unflatten_blocks(state.tensors, f"networks/{client}/") for client in sorted(trained)
        }
        found = {client: below_prefix(f"moments/{client}/", state.tensors) for client in sorted(trained)}
        self.moments = {client: moments for client, moments in found.items() if moments}
        self.sources.load(state.tensors)
        self._measured = {}

    def _steps_of(self, client: int) -> int:
        return self.config.local_epochs * largest_epoch(self.clients, [client], self.config)

    def _trains_locally(self, client: int, number: int) -> bool:
        return number <= self.local_rounds or client not in self.networks

    def _compare(self, number: int, newly: Iterable[int]) -> None:
        """Take the generators of those as sources that have trained and are none yet, or have trained now."""
        fresh = {*newly, *(self.networks.keys() - self.sources.clients)}
        if fresh:
            self.sources.take({client: self._generator(client) for client in sorted(fresh)}, number)

    def _train(self, number: int, clients: Sequence[int]) -> None:
        training = PersonalTraining(self.config)
        for client in clients:
            images = self.sources.images_for(client, self.clients[client].samples, number)
            self.networks[client], self.moments[client] = training.train(
                self.networks[client],
                self.moments.get(client, {}),
                images,
                client=client,
                number=number,
                steps=self._steps_of(client),
            )
            self._measured.pop(client, None)

    def _generator(self, client: int) -> BlockStates:
        if client not in self._measured:
            self._measured[client] = measured_generator(self.config, self.networks[client])
        return self._measured[client]
