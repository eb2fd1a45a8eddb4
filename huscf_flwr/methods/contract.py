"""What a method is: what its server does, what its clients do, and what crosses between them.

A method has two halves, ``Method`` on the server and ``Client`` beside the images. A run drives them in
rounds, in one process or through Flower, and neither half knows which:

1. ``Method.orders`` says what each client is told; what several of them have in common is a *group*, and
   travels once to each host.
2. ``Client.begin`` takes its order, and the client trains: by itself (``MessageClient.train``), or in
   lock-step with an executor on the server (``LockStepClient.step`` and ``Method.executor``).
3. ``Client.upload`` says what goes back.
4. ``Method.close_round`` takes in what came of those clients that took part to the end.

Who may see what: a client sees its own images and labels, and what its orders and the executor bring. The
server sees descriptions, uploads and what the exchanges bring up, and nothing else: all of it is listed in
``Method.crossing``, and what is not listed there is refused where it is sent and where it comes. Neither half
knows Flower, gRPC, files or the terminal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor

from huscf_flwr.config import MethodSettings, RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.models import Sampler
from huscf_flwr.session import ClientStep, ClientTimes, Exchange, Executor, Losses, StepTimes, TensorHeader

Tensors = Mapping[str, Tensor]
"""By name."""

Parts = Mapping[str, Tensors]
"""Tensors by kind, then by name."""

Form = Mapping[str, Mapping[str, TensorHeader]]
"""Types and shapes of tensors by kind, then by name: what an upload must look like."""

Json = Any
"""What JSON can hold."""


class Facts(BaseModel):
    """Small values that cross: a subclass lists them, and no others may; numbers are finite.

    A field is a text, a number of at most 64 bits, a bool, a tuple of one of these, or facts again. One that
    may be None has None as its default: it is then not sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoFacts(Facts):
    """Nothing."""


NOTHING = NoFacts()


class Description(Facts):
    """How a client introduces itself before the first round. A method that asks for more adds a field."""

    samples: PositiveInt
    """Number of its training images."""
    device: Device
    """How fast it is, as its owner says."""


@dataclass(frozen=True)
class Kept:
    """Which file a client has kept for itself, after which round."""

    round: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one client is told at the start of a round."""

    facts: Facts = NOTHING
    tensors: Parts = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    """Names of groups whose tensors are for it too."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What clients are told at the start of a round, by client id."""

    clients: Mapping[int, Order]
    groups: Mapping[str, Parts] = field(default_factory=dict)
    """What is the same for several of them, by name; it travels once to each host."""

    def of_host(self, clients: Sequence[int]) -> Orders:
        """Return what the host of ``clients`` is sent."""
        own = {client: self.clients[client] for client in clients}
        named = {name for order in own.values() for name in order.groups}
        return Orders(clients=own, groups={name: self.groups[name] for name in sorted(named)})

    def of(self, client: int) -> Order:
        """Return the order of one client with the tensors of its groups in it."""
        order = self.clients[client]
        shared = [self.groups[name] for name in order.groups]
        return Order(facts=order.facts, tensors=joined(*shared, order.tensors))


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What one client sends at the end of a round; its host adds all but the first two fields."""

    facts: Facts = NOTHING
    tensors: Parts = field(default_factory=dict)
    losses: Losses = field(default_factory=dict)
    """Means over the round."""
    times: ClientTimes | None = None
    kept: Kept | None = None


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


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The closed list of what crosses; losses, times and what identifies a round are the run's own.

    Kinds are names of tensors, as ``Order.tensors`` and ``Upload.tensors`` have them.
    """

    description: type[Description] = Description
    order: type[Facts] = NoFacts
    order_kinds: tuple[str, ...] = ()
    upload: type[Facts] = NoFacts
    upload_kinds: tuple[str, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    """Of a step with the executor."""
    product_kind: str = ""
    """What clients that judge for themselves are sent: the tensors of a product."""
    scores: tuple[str, ...] = ()
    """What they answer."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a kind that cannot be part of a name such as ``tensors/3/<kind>``."""
        judged = (self.product_kind,) if self.product_kind else ()
        for kind in (*self.order_kinds, *self.upload_kinds, *judged):
            if not kind or "/" in kind:
                raise ValueError(f"'{kind}' cannot be a kind of tensors: give it a name without '/'")

    def check_order(self, order: Order) -> None:
        """Raise ``CrossingError`` if an order has anything that is not listed."""
        _check("an order", order.facts, self.order, order.tensors, self.order_kinds)

    def check_group(self, tensors: Parts) -> None:
        """Raise ``CrossingError`` if a group has anything that is not listed."""
        _check("a group", NOTHING, NoFacts, tensors, self.order_kinds)

    def check_upload(self, upload: Upload) -> None:
        """Raise ``CrossingError`` if an upload has anything that is not listed."""
        _check("an upload", upload.facts, self.upload, upload.tensors, self.upload_kinds)


class CrossingError(ValueError):
    """Something would cross, or has come, that the method does not list."""


class Client(ABC):
    """The client's half: lives beside its images, for one round or for many."""

    losses: ClassVar[tuple[str, ...]] = ()
    """Names of the losses that training gives."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        """Hold the client's own training images; every random draw is from a stream of ``config.seed``."""
        self.client = client
        self.images = images
        self.profile = device
        self.config = config

    def describe(self) -> Description:
        """Return what the server is told before the first round."""
        return Description(samples=len(self.images), device=self.profile)

    @abstractmethod
    def begin(self, number: int, order: Order) -> None:
        """Begin round ``number``, from one, with what the server said."""

    @abstractmethod
    def upload(self) -> Upload:
        """Return what goes back at the end of the round; the tensors may be live."""

    def private(self) -> Tensors:
        """Return what it keeps for itself between rounds, on its own disk."""
        return {}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with what ``private`` returned; called before ``begin``, if anything was kept."""
        if tensors:
            raise ValueError(f"client {self.client} keeps nothing, but {sorted(tensors)} were kept")


class MessageClient(Client):
    """A client that trains by itself."""

    @abstractmethod
    def train(self) -> Iterator[Losses]:
        """Train for one round; yield the losses of each batch, so that it can be watched and stopped."""


class LockStepClient(Client):
    """A client that trains in lock-step with all others, through the executor."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def step(self) -> ClientStep:
        """Return the next step, on its next batch: a coroutine that yields what goes up."""


class Method(ABC):
    """The server's half: everything that outlives a round is its ``state``."""

    name: ClassVar[str]
    """As in ``method: huscf``; the section of its settings has the same."""
    Settings: ClassVar[type[MethodSettings]]
    client: ClassVar[type[MessageClient] | type[LockStepClient]]
    crossing: ClassVar[Crossing]

    def __init__(self, config: RunConfig, clients: Mapping[int, Description]) -> None:
        """Start before the first round; raises ``ValueError`` if the configuration does not fit."""
        self.config = config
        self.clients = dict(sorted(clients.items()))

    @classmethod  # noqa: B027 - many methods have nothing to find
    def check(cls, config: RunConfig) -> None:
        """Raise ``ValueError`` for settings that can be rejected before any client has joined."""

    @classmethod
    @abstractmethod
    def sampler(cls, config: RunConfig, product: Tensors) -> Sampler:
        """Return what draws labelled images from the tensors of a product."""

    @classmethod
    def rounds(cls, config: RunConfig) -> int:
        """Return how many rounds a run takes."""
        return config.rounds

    @abstractmethod
    def steps(self, number: int) -> int:
        """Return the steps of round ``number``, or the most batches that a client takes in it."""

    @abstractmethod
    def orders(self, number: int, clients: Sequence[int]) -> Orders:
        """Return what ``clients`` are told at the start of round ``number``."""

    def executor(self, number: int) -> Executor | None:  # noqa: ARG002 - most methods need none
        """Return what the clients of round ``number`` train with in lock-step.

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
        """Return what there is to show now; before the first round that may be nothing."""

    def judged_for(self, clients: Sequence[int]) -> Product | None:
        """Return the product to judge for ``clients``: what most of them have, the first of equals."""
        found = self.products()
        votes = Counter(
            place for client in clients for place, product in enumerate(found) if client in product.clients
        )
        if not votes:
            return None
        return found[min(votes, key=lambda place: (-votes[place], place))]

    def clusters(self) -> Mapping[int, int]:
        """Return the cluster of every client; empty for a method without clusters."""
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


def joined(*parts: Parts) -> dict[str, dict[str, Tensor]]:
    """Return all tensors of ``parts`` by kind and name."""
    together: dict[str, dict[str, Tensor]] = {}
    for part in parts:
        for kind, tensors in part.items():
            together.setdefault(kind, {}).update(tensors)
    return together


def byte_counts(parts: Parts) -> dict[str, int]:
    """Return the bytes of each kind."""
    return {
        kind: sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        for kind, tensors in parts.items()
    }


def _check(what: str, facts: Facts, listed: type[Facts], parts: Parts, kinds: Sequence[str]) -> None:
    if type(facts) is not listed:
        raise CrossingError(f"{what} has facts {type(facts).__name__}, the method lists {listed.__name__}")
    unlisted = sorted(set(parts) - set(kinds))
    if unlisted:
        raise CrossingError(f"{what} has tensors {unlisted}, the method lists {sorted(kinds)}")
