"""The server's rounds, whatever the method: orders out, a session, uploads in; and back again if need be."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.contract import (
    Collected,
    CrossingError,
    Kept,
    MessageClient,
    Method,
    Orders,
    Outcome,
    State,
    Upload,
    byte_counts,
    round_size,
    selected,
)
from huscf_flwr.methods.sent_losses import losses_sent
from huscf_flwr.run.host import Assignment, EvaluationOrder
from huscf_flwr.run.uploads import UploadWire
from huscf_flwr.seeding import numpy_stream
from huscf_flwr.session import (
    DroppedClient,
    Executor,
    Ledger,
    LockStep,
    Losses,
    MessageSession,
    Patience,
    StepTimes,
    wire_type_of,
)

Progress = Callable[[int], None]
"""Called with the number of steps that all have finished, or, without lock-step, of clients that are done."""

OnDropOut = Callable[[int, DroppedClient], None]
"""Called with a client that drops out, and when and why."""


@dataclass(frozen=True, kw_only=True)
class OpenRound:
    """A round that is under way."""

    number: int
    attempt: int
    steps: int
    training: str
    orders: Orders
    kept: Mapping[int, Kept]
    session: LockStep | MessageSession
    ledger: Ledger
    before: State
    """The method's state, to take the round back."""
    bases: Orders
    """What uploads may differ from: see ``UploadWire``."""
    started: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        """What progress counts up to: steps, or clients where each trains by itself."""
        return self.steps if isinstance(self.session, LockStep) else len(self.orders.clients)

    def assignment(self, host: int) -> Assignment:
        """Return what a host is told, by its place in the session."""
        clients = self.session.hosts[host]
        return Assignment(
            round=self.number,
            attempt=self.attempt,
            steps=self.steps,
            training=self.training,
            orders=self.orders.of_host(clients),
            kept={client: self.kept[client] for client in clients if client in self.kept},
        )


@dataclass(frozen=True, kw_only=True)
class ClosedRound:
    """What is known of a round when it is over."""

    opened: OpenRound
    seconds: float
    collected: Collected
    outcome: Outcome


class Rounds:
    """The state of a run's server over its rounds.

    Attributes:
        training: name by which clients find what they keep for this training, over all runs that resume it.
        number: of the round that is under way, or else of the last that is finished.
        attempt: at the round that is next or under way, from one.
        kept: what each client has last kept for itself, if anything.
        trained: the clients that have taken part in a round to its end.
        images: hash of all clients' images, if the server may look at them; see ``huscf_flwr.run.origin``.
    """

    def __init__(self, config: RunConfig, method: Method, images: str | None = None) -> None:
        """Start before the first round; raises ``ValueError`` if rounds would begin with too few clients."""
        check_participation(config, len(method.clients))
        self.config = config
        self.method = method
        self.images = images
        self.training = secrets.token_hex(16)
        self.number = 0
        self.attempt = 1
        self.kept: dict[int, Kept] = {}
        self.trained: set[int] = set()
        self.opened: OpenRound | None = None
        self._wire = UploadWire.of(config, method.crossing)

    @property
    def left(self) -> int:
        """Rounds still to do."""
        return max(0, self.method.rounds(self.config) - self.number)

    def select(self, available: Sequence[int]) -> tuple[int, ...]:
        """Return who takes part in the next round; raises ``ValueError`` if the method selects others."""
        chosen = self.method.select(self.number + 1, available)
        if not chosen or not set(chosen) <= set(available) or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"round {self.number + 1}: {self.config.method} selects the clients {list(chosen)} of "
                f"{sorted(available)}; select must return some of them, each once"
            )
        return tuple(sorted(chosen))

    def select_for_evaluation(self, available: Sequence[int]) -> tuple[int, ...]:
        """Return who evaluates models of its own now."""
        return selected(
            available,
            fraction=self.config.fraction_evaluate,
            least=1,
            stream=numpy_stream(self.config.seed, "evaluation", self.number),
            of=self.method.clients,
        )

    def evaluation_order(self, clients: Sequence[int]) -> EvaluationOrder:
        """Return what the host of ``clients`` is told before they evaluate models of their own.

        It is part of no round, and its bytes are counted in none.
        """
        orders = self.method.evaluation_orders(self.number, clients) if clients else Orders(clients={})
        self.method.crossing.check_evaluation(orders)
        return EvaluationOrder(
            round=self.number,
            training=self.training,
            orders=orders,
            kept={client: self.kept[client] for client in clients if client in self.kept},
            thoroughly=not self.left,
        )

    def open(
        self,
        hosts: Sequence[Sequence[int]],
        *,
        patience: Patience = lambda _: math.inf,
        progress: Progress = lambda _: None,
        on_drop_out: OnDropOut = lambda *_: None,
    ) -> OpenRound:
        """Begin the next round; ``hosts`` lists the client ids of each host, ``patience`` bounds them."""
        self.number += 1
        method, number = self.method, self.number
        before = method.state().copied()
        present = sorted(client for clients in hosts for client in clients)
        steps = method.steps(number, present)
        orders = method.orders(number, present)
        _check_orders(method, orders)
        ledger = Ledger()
        for clients in hosts:
            _record_orders(ledger, orders, clients)
        executor = method.executor(number, present)
        _check_exchanges(method, executor)
        session = self._session(executor, steps, hosts, ledger, patience, progress, on_drop_out)
        self.opened = OpenRound(
            number=number,
            attempt=self.attempt,
            steps=steps,
            training=self.training,
            orders=orders,
            kept=dict(self.kept),
            session=session,
            ledger=ledger,
            before=before,
            bases=self._wire.bases(orders),
        )
        return self.opened

    def read_upload(self, client: int, upload: Upload) -> Upload:
        """Return what this client has trained, from what has crossed of it.

        Raises ``ValueError`` unless ``upload`` is what it is to send, and finite.
        """
        self.method.crossing.check_upload(upload)
        bases = self.under_way().bases.of(client).tensors
        try:
            tensors = self._wire.received(upload.tensors, bases, self.method.form(client))
        except ValueError as error:
            raise ValueError(f"client {client} sent {error}") from error
        _check_losses(self.method, client, upload.losses)
        if not all(math.isfinite(loss) for loss in upload.losses.values()):
            raise ValueError(f"client {client} sent losses {dict(upload.losses)}, which are not finite")
        times = () if upload.times is None else astuple(upload.times)
        if not all(math.isfinite(seconds) and seconds >= 0 for seconds in times):
            raise ValueError(f"client {client} says that it took {times} seconds, which cannot be")
        return replace(upload, tensors=tensors)

    def under_way(self) -> OpenRound:
        """Return the round that is under way; raises ``RuntimeError`` if there is none."""
        if self.opened is None:
            raise RuntimeError("no round is under way: open one first")
        return self.opened

    def usable(self, uploads: Mapping[int, Upload]) -> dict[int, Upload]:
        """Return the uploads that are what they should be, read; clients that sent others drop out.

        Their bytes are counted as they have crossed.
        """
        opened, (usable, refused) = self.under_way(), self.readable(uploads)
        for client, reason in refused.items():
            opened.session.drop(client, reason)
        for client in usable:
            for kind, count in byte_counts(uploads[client].tensors).items():
                opened.ledger.record(client, "up", kind, count)
        return usable

    def readable(self, uploads: Mapping[int, Upload]) -> tuple[dict[int, Upload], dict[int, str]]:
        """Return the uploads that are what they should be, read, and why the others are not."""
        usable, refused = {}, {}
        for client, upload in uploads.items():
            try:
                usable[client] = self.read_upload(client, upload)
            except ValueError as error:
                refused[client] = str(error)
        return usable, refused

    def close(self, uploads: Mapping[int, Upload]) -> ClosedRound:
        """Let the method take in what is ``usable`` of what came; the other clients have dropped out."""
        opened = self.under_way()
        collected = Collected(
            uploads=dict(sorted(uploads.items())),
            step_times=_step_times(opened, uploads),
            executor_s=opened.session.served_s / opened.steps,
        )
        outcome = self.method.close_round(opened.number, collected)
        if not isinstance(outcome, Outcome):
            raise ValueError(
                f"{type(self.method).__name__}.close_round returned {outcome!r:.40}; return an Outcome"
            )
        self.kept.update({k: upload.kept for k, upload in uploads.items() if upload.kept is not None})
        self.trained.update(uploads)
        self.attempt = 1
        self.opened = None
        seconds = time.monotonic() - opened.started
        return ClosedRound(opened=opened, seconds=seconds, collected=collected, outcome=outcome)

    def take_back(self) -> None:
        """Undo all that the round under way did to the method's state, so that it can be tried again."""
        opened = self.under_way()
        opened.session.wait_until_idle()
        self.method.load(opened.before)
        self.number -= 1
        self.attempt += 1
        self.opened = None

    def _session(
        self,
        executor: Executor | None,
        steps: int,
        hosts: Sequence[Sequence[int]],
        ledger: Ledger,
        patience: Patience,
        progress: Progress,
        on_drop_out: OnDropOut,
    ) -> LockStep | MessageSession:
        least = self.config.min_clients
        if executor is None:
            return MessageSession(hosts, min_clients=least, progress=progress, on_drop_out=on_drop_out)
        return LockStep(
            executor,
            hosts,
            ledger=ledger,
            steps=steps,
            patience=patience,
            min_clients=least,
            largest_batch=self.config.batch_size,
            progress=progress,
            on_drop_out=on_drop_out,
            wire=wire_type_of(self.config, self.number),
        )


def check_participation(config: RunConfig, clients: int) -> None:
    """Raise ``ValueError`` if a round would begin with fewer clients than it must end with."""
    begin = round_size(clients, fraction=config.fraction_train, least=config.min_train_clients)
    if begin < config.min_clients:
        raise ValueError(
            f"min_clients: {config.min_clients}, but with fraction_train = {config.fraction_train:g} and "
            f"min_train_clients = {config.min_train_clients} a round begins with {begin} of {clients} "
            "clients; lower min_clients, or let more take part"
        )


def _check_exchanges(method: Method, executor: Executor | None) -> None:
    has = () if executor is None else executor.exchanges
    if tuple(has) != method.crossing.exchanges:
        raise CrossingError(
            f"{method.name} lists the exchanges {[each.name for each in method.crossing.exchanges]}, its "
            f"executor has {[each.name for each in has]}"
        )


def _check_orders(method: Method, orders: Orders) -> None:
    for order in orders.clients.values():
        method.crossing.check_order(order)
    for tensors in orders.groups.values():
        method.crossing.check_group(tensors)


def _record_orders(ledger: Ledger, orders: Orders, clients: Sequence[int]) -> None:
    """Count what goes to one host: a group once, for the first of its clients there."""
    sent: set[str] = set()
    for client in clients:
        order = orders.clients[client]
        new = [name for name in order.groups if name not in sent]
        sent.update(new)
        for parts in (*map(orders.groups.__getitem__, new), order.tensors):
            for kind, count in byte_counts(parts).items():
                ledger.record(client, "down", kind, count)


def _check_losses(method: Method, client: int, losses: Losses) -> None:
    """Raise ``ValueError`` unless they are those that cross; without lock-step some may be left out."""
    found, listed = losses.keys(), set(losses_sent(method.client, method.config))
    some = found and found < listed and issubclass(method.client, MessageClient)
    if found != listed and not some:
        raise ValueError(f"client {client} sent losses {sorted(found)}, not {sorted(listed)}")


def _step_times(opened: OpenRound, uploads: Mapping[int, Upload]) -> dict[int, StepTimes]:
    """Return the times of a step, with the time that frames waited here taken off their exchanges.

    There are none without lock-step: then no two clients need have the same number of steps.
    """
    if not isinstance(opened.session, LockStep):
        return {}
    session, steps = opened.session, opened.steps
    waited = {
        client: seconds
        for clients, seconds in zip(session.hosts, session.waited, strict=True)
        for client in clients
    }
    return {
        client: StepTimes(
            upload.times.compute_s / steps,
            max(0.0, upload.times.exchange_s - waited[client]) / steps,
        )
        for client, upload in sorted(uploads.items())
        if upload.times is not None
    }
