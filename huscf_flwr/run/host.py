"""A host's round, whatever the method, in one process or in a ClientApp: begin, train, upload, evaluate."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from huscf_flwr.config import RunConfig
from huscf_flwr.data import ClientData
from huscf_flwr.evaluation.own_models import Judged, own_scores
from huscf_flwr.methods.contract import (
    Client,
    CrossingError,
    Kept,
    LockStepClient,
    MessageClient,
    Method,
    Orders,
    Tensors,
    Upload,
)
from huscf_flwr.run.client_files import ClientFileError, load_private, save_private
from huscf_flwr.session import Channel, DropOut, HostTimer, Losses, run_steps

_LOGGER = logging.getLogger(__name__)

OpenClient = Callable[[int], Client]
"""Makes the client with an id, with its own images."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a host is told at the start of a round, for all of its clients."""

    round: int
    attempt: int
    """At the round, from one."""
    steps: int
    training: str
    """Names what is trained, over all runs that resume it."""
    orders: Orders
    kept: Mapping[int, Kept]
    """What each client has kept last; a client that is not in it starts without."""

    @property
    def clients(self) -> tuple[int, ...]:
        """The host's clients, by id."""
        return tuple(sorted(self.orders.clients))


@dataclass(frozen=True, kw_only=True)
class EvaluationOrder:
    """What a host is told that evaluates its clients' own models."""

    round: int
    """After which; from one."""
    training: str
    """As in ``Assignment``."""
    clients: tuple[int, ...]
    kept: Mapping[int, Kept]
    """As in ``Assignment``: a client that is not in it has never trained, and has the model it began with."""
    thoroughly: bool
    """Whether it is the last time, when scores that take long are worth it."""


@dataclass(frozen=True)
class HostedRound:
    """What became of a host's clients."""

    uploads: Mapping[int, Upload]
    """Of those that took part to the end."""
    drop_outs: Mapping[int, DropOut]


class Host:
    """Runs some clients, round after round.

    A client that trains in lock-step lives as long as it takes part to the end, in one round after the other;
    one that trains by itself lives for its turn. What outlives them is on disk.
    """

    def __init__(
        self,
        config: RunConfig,
        method: type[Method],
        open_client: OpenClient,
        folder: Path,
        *,
        may_have_lost_files: bool = False,
    ) -> None:
        """Keep what clients hold privately in ``folder``.

        A device ``may_have_lost_files``: its client then starts anew, and says so. In a simulation that is an
        error.
        """
        self._config = config
        self._method = method
        self._open_client = open_client
        self._folder = folder
        self._may_have_lost_files = may_have_lost_files
        self._clients: dict[int, Client] = {}
        self._kept: dict[int, Kept | None] = {}

    def train(
        self,
        assignment: Assignment,
        channel: Channel | None,
        timer: HostTimer,
        after_batch: Callable[[], None] = lambda: None,
        after_client: Callable[[int], None] = lambda _: None,
    ) -> HostedRound:
        """Train for one round, over ``channel`` if the method is a lock-step one.

        Clients that train by themselves do so one after the other: ``after_batch`` is called between their
        batches, and what it raises ends the round; ``after_client`` with each that is done. Raises
        ``CrossingError`` for an order or an upload that has what the method does not list, and
        ``ClientFileError`` if what a client kept is gone.
        """
        self._clients = {k: member for k, member in self._clients.items() if k in assignment.clients}
        if channel is None:
            return self._train_in_turn(assignment, timer, after_batch, after_client)
        clients = {client: self._begun(client, assignment) for client in assignment.clients}
        trained = run_steps(_lock_step(clients), channel, assignment.steps, timer)
        uploads = {
            client: self._upload(clients[client], assignment, losses, timer)
            for client, losses in trained.losses.items()
        }
        self._clients = {client: clients[client] for client in uploads}
        return HostedRound(uploads, trained.drop_outs)

    def evaluate(
        self,
        order: EvaluationOrder,
        data_of: Callable[[int], ClientData],
        judge_cache: Path,
        after_client: Callable[[], None] = lambda: None,
    ) -> dict[int, Mapping[str, Judged]]:
        """Return the scores of the clients' own models, by client id and by what they were scored on.

        ``after_client`` is called after each client; what it raises ends the evaluation. Raises
        ``ClientFileError`` if what a client kept is gone, and ``ValueError`` if a model has diverged.
        """
        judged: dict[int, Mapping[str, Judged]] = {}
        for client in order.clients:
            member = self._at_rest(client, order.kept.get(client))
            judged[client] = own_scores(
                member,
                data_of(client),
                self._config,
                listed=self._method.crossing.scores,
                number=order.round,
                thoroughly=order.thoroughly,
                judge_cache=judge_cache,
            )
            after_client()
        return judged

    def _train_in_turn(
        self,
        assignment: Assignment,
        timer: HostTimer,
        after_batch: Callable[[], None],
        after_client: Callable[[int], None],
    ) -> HostedRound:
        """Train one client after the other; only one of them is in memory, however many there are."""
        uploads: dict[int, Upload] = {}
        drop_outs: dict[int, DropOut] = {}
        for client in assignment.clients:
            member = self._begun(client, assignment)
            if not isinstance(member, MessageClient):
                raise _wrong_base(member, MessageClient.__name__)
            outcome = _trained_alone(member, timer, after_batch)
            if isinstance(outcome, DropOut):
                drop_outs[client] = outcome
            else:
                uploads[client] = self._upload(member, assignment, outcome, timer)
                after_client(client)
        return HostedRound(uploads, drop_outs)

    def _begun(self, client: int, assignment: Assignment) -> Client:
        order = assignment.orders.of(client)
        self._method.crossing.check_order(order)
        member = self._at_rest(client, assignment.kept.get(client))
        # Of a round that fails no client lives on; nor of one that the server has taken back.
        self._clients.pop(client, None)
        member.begin(assignment.round, order)
        return member

    def _at_rest(self, client: int, kept: Kept | None) -> Client:
        """Return a client as it was after the round in which it kept its file last."""
        member = self._clients.get(client)
        if member is None or self._kept[client] != kept:
            member = self._open_client(client)
            if kept is not None:
                member.load_private(self._private(client, kept))
        return member

    def _private(self, client: int, kept: Kept) -> Tensors:
        try:
            return load_private(self._folder, client, kept)
        except ClientFileError as error:
            if not self._may_have_lost_files:
                raise
            _LOGGER.warning("%s; it starts anew", error, extra={"client": client})
            return {}

    def _upload(self, member: Client, assignment: Assignment, losses: Losses, timer: HostTimer) -> Upload:
        client, upload, private = member.client, member.upload(), member.private()
        self._method.crossing.check_upload(upload)
        _check_losses(member, losses)
        kept = None
        if private:
            kept = save_private(
                private,
                self._folder,
                client,
                assignment.round,
                before=assignment.kept.get(client),
                keep_last=self._config.checkpoint.keep_last,
            )
        self._kept[client] = kept
        return replace(upload, losses=losses, times=timer.times().get(client), kept=kept)


def _lock_step(clients: Mapping[int, Client]) -> list[LockStepClient]:
    found = []
    for member in clients.values():
        if not isinstance(member, LockStepClient):
            raise _wrong_base(member, LockStepClient.__name__)
        found.append(member)
    return found


def _wrong_base(member: Client, base: str) -> TypeError:
    return TypeError(f"{type(member).__name__}: clients that train this way are derived from {base}")


def _trained_alone(
    member: MessageClient, timer: HostTimer, after_batch: Callable[[], None]
) -> Losses | DropOut:
    totals = dict.fromkeys(member.losses, 0.0)
    batches = 0
    training = member.train()
    while True:
        with timer.computing(member.client):
            losses = next(training, None)
        if losses is None:
            break
        _check_losses(member, losses)
        batches += 1
        for name, loss in losses.items():
            if not math.isfinite(loss):
                return DropOut(f"client {member.client}: the {name}'s loss is {loss}")
            totals[name] += loss
        after_batch()
    if totals and not batches:
        return DropOut(f"client {member.client} has trained on no batch")
    return {name: total / batches for name, total in totals.items()}


def _check_losses(member: Client, losses: Losses) -> None:
    """Raise ``CrossingError`` unless the losses are those that the method's clients declare."""
    if losses.keys() != set(member.losses):
        raise CrossingError(
            f"client {member.client} has losses {sorted(losses)}, its method declares {sorted(member.losses)}"
        )
