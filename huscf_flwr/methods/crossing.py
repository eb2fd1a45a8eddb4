"""What crosses between a method's two halves: orders down, uploads up, and the closed list of all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor

from huscf_flwr.cuts.devices import Device
from huscf_flwr.session import ClientTimes, Exchange, Losses, TensorHeader

Tensors = Mapping[str, Tensor]
"""By name."""

Parts = Mapping[str, Tensors]
"""Tensors by kind, then by name."""

Form = Mapping[str, Mapping[str, TensorHeader]]
"""Types and shapes of tensors by kind, then by name: what an upload must look like."""


class Reveal(StrEnum):
    """What somebody who sees a kind of tensors, or a fact, learns about one client's images, worst first.

    It says what an attacker is known to be able to make of it, by measurement and not by hope.
    """

    UNSAID = "nobody has said"
    """What it shows is not declared: it may be anything."""
    IMAGES = "images and labels"
    """The images themselves, or activations of them from which a closed form gives them back."""
    LABELS = "labels of batches"
    """The label of every image of a batch."""
    LABEL_COUNTS = "label counts"
    """How many images of each label there are, or which labels there are."""
    MODEL = "a model of one client"
    """A network that was trained on this client's images alone since it was last averaged."""
    CLASS_MEANS = "class means"
    """Means of features over the images of one label."""
    VERDICTS = "verdicts"
    """What a network of one client says of images that are known, or the gradient of it."""
    AVERAGE = "averages"
    """A network or a mean over several clients, of which this one is part."""
    BOUNDED = "bounded by epsilon"
    """All that it has of the images was noised so that what one of them may tell is bounded."""
    NOTHING = "nothing"
    """It does not depend on the client's images, as images that the server drew."""


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
    """What one client is told at the start of a round, or before it evaluates models of its own."""

    facts: Facts = NOTHING
    tensors: Parts = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    """Names of groups whose tensors are for it too."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What clients are told at the start of a round, or of an evaluation, by client id."""

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
    memory: Mapping[str, int] = field(default_factory=dict)
    """Most bytes of tensors at once, by the client's phase; empty unless they are measured."""
    kept: Kept | None = None


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
    handed_on: tuple[str, ...] = ()
    """Kinds of uploads that are not averaged: each goes on as it has arrived, with another client.

    What rounding took from one (``wire.uploads``) is not added to the next, which is of another model.
    """
    exchanges: tuple[Exchange, ...] = ()
    """Of a step with the executor."""
    product_kind: str = ""
    """What clients that judge for themselves are sent: the tensors of a product."""
    scores: tuple[str, ...] = ()
    """What clients answer that judge a product, or a model of their own."""
    evaluation_kinds: tuple[str, ...] = ()
    """What clients may be sent before they evaluate models of their own; facts are not sent then."""
    shows_server: Mapping[str, Reveal] = field(default_factory=dict)
    """What the server learns from each kind of tensors and each fact that goes up, by name.

    Loss values, scores, the number of images and the device are not among them: every method has them.
    """
    shows_clients: Mapping[str, Reveal] = field(default_factory=dict)
    """What another client learns from each kind of tensors and each fact that goes down, by name."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a kind that cannot be part of a name such as ``tensors/3/<kind>``.

        Or for exchanges that are not numbered from one.
        """
        numbers = [exchange.number for exchange in self.exchanges]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"exchanges are numbered {numbers}: number them from 1, in the order of a step")
        judged = (self.product_kind,) if self.product_kind else ()
        for kind in (*self.order_kinds, *self.upload_kinds, *self.evaluation_kinds, *judged):
            if not kind or "/" in kind:
                raise ValueError(f"'{kind}' cannot be a kind of tensors: give it a name without '/'")
        for kind in self.handed_on:
            if kind not in self.upload_kinds:
                raise ValueError(f"'{kind}' is handed on, but no upload has it")
        for said, names in ((self.shows_server, self.names_up()), (self.shows_clients, self.names_down())):
            for name in sorted(said.keys() - set(names)):
                raise ValueError(f"it is said what '{name}' shows, but nothing of that name crosses so")

    def names_up(self) -> tuple[str, ...]:
        """Return the names of all that goes up and is the method's own: kinds of tensors, and facts."""
        own = [name for name in self.description.model_fields if name not in Description.model_fields]
        exchanged = [kind.name for exchange in self.exchanges for kind in exchange.up]
        return tuple(dict.fromkeys([*own, *self.upload.model_fields, *exchanged, *self.upload_kinds]))

    def names_down(self) -> tuple[str, ...]:
        """Return the names of all that goes down: kinds of tensors, and facts."""
        exchanged = [kind.name for exchange in self.exchanges for kind in exchange.down]
        judged = [self.product_kind] if self.product_kind else []
        kinds = [*self.order_kinds, *exchanged, *self.evaluation_kinds, *judged]
        return tuple(dict.fromkeys([*self.order.model_fields, *kinds]))

    def check_descriptions(self, descriptions: Mapping[int, Description]) -> None:
        """Raise ``CrossingError`` if a client describes itself with anything that is not listed."""
        for client, description in descriptions.items():
            _check(f"the description of client {client}", description, self.description, {}, ())

    def check_order(self, order: Order) -> None:
        """Raise ``CrossingError`` if an order has anything that is not listed."""
        _check("an order", order.facts, self.order, order.tensors, self.order_kinds)

    def check_group(self, tensors: Parts) -> None:
        """Raise ``CrossingError`` if a group has anything that is not listed."""
        _check("a group", NOTHING, NoFacts, tensors, self.order_kinds)

    def check_evaluation(self, orders: Orders) -> None:
        """Raise ``CrossingError`` if orders before an evaluation have anything that is not listed."""
        for order in orders.clients.values():
            _check("an evaluation order", order.facts, NoFacts, order.tensors, self.evaluation_kinds)
        for tensors in orders.groups.values():
            _check("a group of an evaluation", NOTHING, NoFacts, tensors, self.evaluation_kinds)

    def check_upload(self, upload: Upload) -> None:
        """Raise ``CrossingError`` if an upload has anything that is not listed."""
        _check("an upload", upload.facts, self.upload, upload.tensors, self.upload_kinds)


class CrossingError(ValueError):
    """Something would cross, or has come, that the method does not list."""


def joined(*parts: Parts) -> dict[str, dict[str, Tensor]]:
    """Return all tensors of ``parts`` by kind and name."""
    together: dict[str, dict[str, Tensor]] = {}
    for part in parts:
        for kind, tensors in part.items():
            together.setdefault(kind, {}).update(tensors)
    return together


def form_of(parts: Parts) -> dict[str, dict[str, TensorHeader]]:
    """Return the form of an upload that has just such tensors."""
    return {kind: headers_of(tensors) for kind, tensors in parts.items()}


def headers_of(tensors: Tensors) -> dict[str, TensorHeader]:
    """Return type and shape of each."""
    return {name: TensorHeader.of(tensor) for name, tensor in tensors.items()}


def misfit(found: Tensors, expected: Mapping[str, TensorHeader]) -> str | None:
    """Return, in words, what is wrong with tensors that should be the ``expected`` ones; None if nothing is.

    Names, types, shapes, and whether all numbers are finite are looked at, in this order.
    """
    lacking, unasked = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if lacking or unasked:
        wrong = [f"without {', '.join(lacking)}"] if lacking else []
        wrong += [f"with {', '.join(unasked)}, which nobody asked for"] if unasked else []
        return " and ".join(wrong)
    for name, header in expected.items():
        is_there = TensorHeader.of(found[name])
        if is_there != header:
            return f"{name} as {is_there.dtype} {is_there.shape}, not {header.dtype} {header.shape}"
        if not bool(found[name].isfinite().all()):
            return f"{name} with numbers that are not finite"
    return None


def check_kept(what: str, found: Tensors, expected: Mapping[str, TensorHeader]) -> None:
    """Raise ``ValueError`` unless ``found``, ``what`` a state has, are the ``expected`` tensors."""
    wrong = misfit(found, expected)
    if wrong is not None:
        raise ValueError(f"has {what} {wrong}")


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
