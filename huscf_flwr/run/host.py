"""A host's round, whatever the method, in one process or in a ClientApp: begin, train, upload, keep."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from huscf_flwr.config import RunConfig
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
from huscf_flwr.session import Channel, DropOut, HostTimer, Losses, TrainedSteps, run_steps

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


@dataclass(frozen=True)
class HostedRound:
    """What became of a host's clients."""

    uploads: Mapping[int, Upload]
    """Of those that took part to the end."""
    drop_outs: Mapping[int, DropOut]


class Host:
    """Runs some clients, round after round; a client lives as long as it takes part to the end."""

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
    ) -> HostedRound:
        """Train for one round, over ``channel`` if the method is a lock-step one.

        ``after_batch`` is called between the batches of clients that train by themselves; what it raises ends
        the round. Raises ``CrossingError`` for an order or an upload that has what the method does not list,
        and ``ClientFileError`` if what a client kept is gone.
        """
        clients = {client: self._begun(client, assignment) for client in assignment.clients}
        if channel is not None:
            trained = run_steps(_lock_step(clients), channel, assignment.steps, timer)
        else:
            trained = _train_alone(_alone(clients), timer, after_batch)
        uploads = {
            client: self._upload(clients[client], assignment, losses, timer)
            for client, losses in trained.losses.items()
        }
        self._clients = {client: clients[client] for client in uploads}
        return HostedRound(uploads, trained.drop_outs)

    def _begun(self, client: int, assignment: Assignment) -> Client:
        order = assignment.orders.of(client)
        self._method.crossing.check_order(order)
        # Of a round that fails no client lives on; nor of one that the server has taken back.
        member, kept = self._clients.pop(client, None), assignment.kept.get(client)
        if member is None or self._kept[client] != kept:
            member = self._open_client(client)
            if kept is not None:
                member.load_private(self._private(client, kept))
        member.begin(assignment.round, order)
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
    found = [member for member in clients.values() if isinstance(member, LockStepClient)]
    _check_all(found, clients, LockStepClient.__name__)
    return found


def _alone(clients: Mapping[int, Client]) -> list[MessageClient]:
    found = [member for member in clients.values() if isinstance(member, MessageClient)]
    _check_all(found, clients, MessageClient.__name__)
    return found


def _check_all(found: Sequence[Client], clients: Mapping[int, Client], base: str) -> None:
    if len(found) < len(clients):
        names = sorted({type(member).__name__ for member in clients.values()})
        raise TypeError(f"{', '.join(names)}: clients that train this way are derived from {base}")


def _train_alone(
    clients: Sequence[MessageClient], timer: HostTimer, after_batch: Callable[[], None]
) -> TrainedSteps:
    """Train one client after the other; one whose loss is not finite drops out."""
    losses: dict[int, Losses] = {}
    drop_outs: dict[int, DropOut] = {}
    for member in clients:
        outcome = _trained_alone(member, timer, after_batch)
        if isinstance(outcome, DropOut):
            drop_outs[member.client] = outcome
        else:
            losses[member.client] = outcome
    return TrainedSteps(losses, drop_outs)


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
