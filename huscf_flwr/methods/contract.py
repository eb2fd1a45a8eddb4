"""What a method is: what its server does, what its clients do, and what crosses between them.

A method has two halves, ``Method`` on the server and ``Client`` beside the images. A run drives them in
rounds, in one process or through Flower, and neither half knows which:

1. ``Method.orders`` says what each client is told; what several of them have in common is a *group*, and
   travels once to each host.
2. ``Client.begin`` takes its order, and the client trains: by itself (``MessageClient.train``), or in
   lock-step with an executor on the server (``LockStepClient.step`` and ``Method.executor``).
3. ``Client.upload`` says what goes back.
4. ``Method.close_round`` takes in what came of those clients that took part to the end.
5. Models that stay on clients are evaluated there, after some rounds: ``Client.begin_evaluation`` takes what
   ``Method.evaluation_orders`` says, and then they are scored.

Who may see what: a client sees its own images and labels, and what its orders and the executor bring. The
server sees descriptions, uploads and what the exchanges bring up, and nothing else: all of it is listed in
``Method.crossing``, and what is not listed there is refused where it is sent and where it comes. Neither half
knows Flower, gRPC, files or the terminal. ``client_half`` has the clients' half, and ``crossing`` what
crosses; both can be imported from here too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from huscf_flwr.config import MethodSettings, RunConfig
from huscf_flwr.cuts import CutProblem, Price
from huscf_flwr.methods.client_half import (
    Classifier,
    Client,
    LockStepClient,
    MessageClient,
    keeps_models,
    may_spend,
)
from huscf_flwr.methods.crossing import (
    NOTHING,
    Crossing,
    CrossingError,
    Description,
    Facts,
    Form,
    Kept,
    NoFacts,
    Order,
    Orders,
    Parts,
    Reveal,
    Tensors,
    Upload,
    byte_counts,
    form_of,
    joined,
)
from huscf_flwr.methods.selection import round_size, selected
from huscf_flwr.models import Sampler
from huscf_flwr.seeding import numpy_stream
from huscf_flwr.session import Executor, StepTimes

__all__ = [
    "NOTHING",
    "Classifier",
    "Client",
    "Collected",
    "Crossing",
    "CrossingError",
    "Description",
    "Facts",
    "Form",
    "Json",
    "Kept",
    "LockStepClient",
    "MakeMethod",
    "MessageClient",
    "Method",
    "NoFacts",
    "Order",
    "Orders",
    "Outcome",
    "Parts",
    "Product",
    "Reveal",
    "State",
    "Tensors",
    "Upload",
    "byte_counts",
    "form_of",
    "joined",
    "keeps_models",
    "may_spend",
    "round_size",
    "selected",
]

Json = Any
"""What JSON can hold."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a round brought."""

    uploads: Mapping[int, Upload]
    """Of the clients that took part to the end, by client id; the others have dropped out."""
    step_times: Mapping[int, StepTimes] = field(default_factory=dict)
    """Seconds that a step took each client; empty if they were not measured."""
    executor_s: float = 0.0
    """Seconds that the executor computed in a step."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a method did with a round, for metrics and people."""

    facts: Mapping[str, Json] = field(default_factory=dict)
    """About the round as a whole."""
    clients: Mapping[int, Mapping[str, Json]] = field(default_factory=dict)
    """About each client that took part, by client id."""
    notes: tuple[str, ...] = ()
    """Sentences worth showing."""


@dataclass(frozen=True)
class Product:
    """What a method has to show: something that draws labelled images, and for which clients."""

    name: str
    """Names files too: lower case, digits and hyphens, such as ``cluster-0``."""
    clients: tuple[int, ...]
    tensors: Tensors
    """What ``Method.sampler`` draws from."""


@dataclass(frozen=True)
class State:
    """All that a method must remember to go on as if nothing had happened."""

    facts: Mapping[str, Json]
    tensors: Tensors

    def copied(self) -> State:
        """Return a copy that does not change with the method."""
        return replace(self, tensors={name: tensor.clone() for name, tensor in self.tensors.items()})


class Method(ABC):
    """The server's half: everything that outlives a round is its ``state``."""

    name: ClassVar[str]
    """As in ``method: huscf``; the section of its settings has the same."""
    Settings: ClassVar[type[MethodSettings]]
    client: ClassVar[type[MessageClient] | type[LockStepClient]]
    crossing: ClassVar[Crossing]
    version: ClassVar[int] = 1
    """Of what the method computes; a higher one says that results of earlier versions are not its own."""
    privacy: ClassVar[frozenset[str]] = frozenset()
    """The settings of ``PrivacySection`` that it honours, but for ``send_losses``, which is the run's."""
    pools_domains: ClassVar[bool] = False
    """A client is a whole domain, with what all of that domain's clients hold: ``PooledImages``. Only a
    simulation can do that; it shows what could be had if images might leave their clients."""

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start before the first round; raises ``ValueError`` if the configuration does not fit."""
        self.config = config
        self.clients = dict(sorted(clients.items()))

    @classmethod
    def variant(cls, config: RunConfig) -> type[Method]:  # noqa: ARG003 - most methods have no variants
        """Return the class that ``config`` chooses of a method whose settings decide what crosses."""
        return cls

    @classmethod  # noqa: B027 - many methods have nothing to find
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` for settings that can be rejected before any client has joined."""

    @classmethod
    @abstractmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from the tensors of a product."""

    @classmethod
    def price(cls, config: RunConfig, problem: CutProblem) -> Price | None:  # noqa: ARG003 - most know no price
        """Return what a step costs the clients of ``problem`` by the latency model; None if nobody has said.

        Most methods price a ``Placement``: who computes what in a step, and what crosses when.
        """
        return None

    @classmethod
    def learning_rates(cls, config: RunConfig) -> tuple[float, ...]:
        """Return those of what clients train, which a comparison shows; by default that of ``optimiser``."""
        return (config.optimiser.learning_rate,)

    @classmethod
    def rounds(cls, config: RunConfig) -> int:
        """Return how many rounds a run takes."""
        return config.rounds

    def select(self, number: int, available: Sequence[int]) -> tuple[int, ...]:
        """Return who takes part in round ``number`` of the clients that are ``available``.

        By default as many as ``fraction_train`` and ``min_train_clients`` say, drawn from the run's seed.
        """
        config = self.config
        return selected(
            available,
            fraction=config.fraction_train,
            least=config.min_train_clients,
            stream=numpy_stream(config.seed, "selection", number),
            of=self.clients,
        )

    @abstractmethod
    def steps(self, number: int, clients: Sequence[int]) -> int:
        """Return the steps of round ``number`` of ``clients``, or the most batches that one takes in it."""

    @abstractmethod
    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return what ``clients`` are told at the start of round ``number``."""

    def evaluation_orders(self, number: int, clients: Sequence[int]) -> Orders:  # noqa: ARG002 - most say nothing
        """Return what ``clients`` are told before they evaluate models of their own after round ``number``.

        By default nothing. Clients are evaluated with what they kept, which knows nothing of how the round
        was closed; here the method can tell them. Only tensors of ``Crossing.evaluation_kinds`` may be sent.
        """
        return Orders(clients={client: Order() for client in clients})

    def executor(self, number: int, clients: Sequence[int]) -> Executor | None:  # noqa: ARG002 - most need none
        """Return what ``clients`` train with in lock-step in round ``number``.

        It has the exchanges that ``crossing`` lists, in every round; without any, it is None in every round,
        and each client trains alone.
        """
        return None

    @abstractmethod
    def form(self, client: int) -> Form:
        """Return what the tensors of this client's next upload must look like."""

    @abstractmethod
    def close_round(self, number: int, collected: Collected) -> Outcome:
        """Take in what round ``number`` brought."""

    @abstractmethod
    def products(self) -> Sequence[Product]:
        """Return what the server has to show now; before the first round that may be nothing.

        What stays on clients is not among it: see ``Client.sampler``.
        """

    def judged_for(self, clients: Sequence[int]) -> Product | None:
        """Return the product to judge for ``clients``: what most of them have, the first of equals."""
        found = self.products()
        votes = Counter(
            place for client in clients for place, product in enumerate(found) if client in product.clients
        )
        if not votes:
            return None
        return found[min(votes, key=lambda place: (-votes[place], place))]

    def all_judged_for(self, clients: Sequence[int]) -> Sequence[Product]:
        """Return the products whose mean scores are those of ``clients``; by default the one judged for them.

        Where each client has a product of its own, all of theirs should be judged.
        """
        product = self.judged_for(clients)
        return [] if product is None else [product]

    def clusters(self) -> Mapping[int, int]:
        """Return the cluster of every client that has one; empty for a method without clusters."""
        return {}

    def predicted_step_s(self) -> float:
        """Return the seconds that a step should take, if the method can tell; the executor waits by it."""
        return 0.0

    def documents(self) -> Mapping[str, Mapping[str, Json]]:
        """Return what should lie in the run's folder as ``<name>.json``, as it is now."""
        return {}

    @abstractmethod
    def state(self) -> State:
        """Return everything that a checkpoint must hold; the tensors may be live."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Go on from ``state``, of this or of another run.

        Raises ``ValueError`` if it is of other clients or does not fit.
        """


MakeMethod = Callable[[RunConfig, Mapping[int, Description]], Method]
"""Makes the server's half of a method for the clients that have described themselves, by client id."""
