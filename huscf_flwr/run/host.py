"""A host's round, whatever the method, in one process or in a ClientApp: begin, train, upload, evaluate."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from huscf_flwr.accounting import BudgetSpentError
from huscf_flwr.config import RunConfig
from huscf_flwr.data import ClientData
from huscf_flwr.evaluation.own_models import OwnScores, own_scores
from huscf_flwr.evaluation.scores import DivergedError
from huscf_flwr.extras import MissingExtraError
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
from huscf_flwr.methods.sent_losses import losses_sent
from huscf_flwr.run.client_files import (
    ClientFileError,
    check_images,
    folder_for_images,
    load_private,
    save_private,
)
from huscf_flwr.run.refused_rounds import note_refusal, with_refused
from huscf_flwr.run.spent_budget import SpentBudget
from huscf_flwr.run.tensor_memory import measured_memory
from huscf_flwr.run.uploads import Residuals, UploadWire, with_residuals, without_residuals
from huscf_flwr.session import Channel, ClientStep, Computed, DropOut, HostTimer, Losses, run_steps

_LOGGER = logging.getLogger(__name__)

OpenClient = Callable[[int], Client]
"""Makes a client by its id, with its own images."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a host is told at the start of a round, for all of its clients."""

    round: int
    attempt: int
    """At the round, from one."""
    steps: int
    training: str
    """Name of the training, which runs that resume it share."""
    orders: Orders
    kept: Mapping[int, Kept]
    """What each client kept last; a client that is not listed has kept nothing yet."""

    @property
    def clients(self) -> tuple[int, ...]:
        """The host's clients, by id."""
        return tuple(sorted(self.orders.clients))


@dataclass(frozen=True, kw_only=True)
class EvaluationOrder:
    """What a host is told before it evaluates its clients' own models."""

    round: int
    """After which; from one."""
    training: str
    """As in ``Assignment``."""
    orders: Orders
    """What the method tells these clients; perhaps nothing."""
    kept: Mapping[int, Kept]
    """As in ``Assignment``; a client that is not listed has kept nothing yet."""
    thoroughly: bool
    """Whether it is the last time, when scores that take long are worth it."""

    @property
    def clients(self) -> tuple[int, ...]:
        """The clients to evaluate, by id."""
        return tuple(sorted(self.orders.clients))


@dataclass(frozen=True)
class HostedRound:
    """What became of a host's clients in a round."""

    uploads: Mapping[int, Upload]
    """Of those that took part to the end."""
    drop_outs: Mapping[int, DropOut]


@dataclass(frozen=True)
class HostedEvaluation:
    """What a host found of its clients' own models."""

    scores: Mapping[int, OwnScores]
    """Of those that have some, by client id."""
    drop_outs: Mapping[int, DropOut]
    """Clients whose models have diverged, or that cannot score them."""


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
        images_of: Callable[[int], str] | None = None,
        spent: Path | None = None,
    ) -> None:
        """Keep what clients hold privately in ``folder``.

        A device ``may_have_lost_files``: its client then starts anew, and says so. In a simulation that is an
        error. A device also knows the hash of its client's images, ``images_of``, of which nobody else knows
        anything: what the client has kept is for these only. What is ``spent`` of their privacy is noted in
        a folder that all trainings on a device share, of which it is the only client; by default in
        ``folder``, for each client by its id.
        """
        self._config = config
        self._method = method
        self._open_client = open_client
        self._folder = folder
        self._may_have_lost_files = may_have_lost_files
        self._images_of = images_of
        self._spent = SpentBudget(
            spent or folder, of_device=spent is not None, may_repeat=config.privacy.noise == "seeded"
        )
        self._clients: dict[int, Client] = {}
        self._kept: dict[int, Kept | None] = {}
        self._wire = UploadWire.of(config, method.crossing)
        self._bases = Orders(clients={})
        self._residuals: dict[int, Residuals] = {}

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
        ``CrossingError`` for an order or an upload that has what the method does not list,
        ``ClientFileError`` if what a client kept is gone, and ``OtherImagesError`` if its images are others.
        """
        self._clients = {k: member for k, member in self._clients.items() if k in assignment.clients}
        self._bases = self._wire.bases(assignment.orders)
        if channel is None:
            return self._train_in_turn(assignment, timer, after_batch, after_client)
        clients = {client: self._begun(client, assignment) for client in assignment.clients}
        unpaid = self._unpaid(clients, assignment)
        members = [
            _Leaving(member, unpaid[member.client]) if member.client in unpaid else member
            for member in _lock_step(clients)
        ]
        try:
            trained = run_steps(members, channel, assignment.steps, timer)
        finally:  # the server may end the round at once, so that it is tried again
            for member in clients.values():
                if isinstance(member, LockStepClient) and member.refuses():
                    note_refusal(self._folder_of(member.client), member.client, assignment.round)
        ended = {
            client: self._ended(clients[client], assignment, losses, timer)
            for client, losses in trained.losses.items()
        }
        hosted = _hosted({**trained.drop_outs, **ended})
        self._clients = {client: clients[client] for client in hosted.uploads}
        return hosted

    def evaluate(
        self,
        order: EvaluationOrder,
        data_of: Callable[[int], ClientData],
        judge_cache: Path,
        after_client: Callable[[], None] = lambda: None,
    ) -> HostedEvaluation:
        """Score the clients' own models; a client whose model has diverged drops out.

        So does one whose device lacks the extra that scores need.

        ``after_client`` is called after each client; what it raises ends the evaluation. Raises
        ``CrossingError`` for an order that has what the method does not list, and ``ClientFileError`` if what
        a client kept is gone.
        """
        self._method.crossing.check_evaluation(order.orders)
        found: dict[int, OwnScores] = {}
        drop_outs: dict[int, DropOut] = {}
        for client in order.clients:
            try:
                scores = self._scores(client, order, data_of(client), judge_cache)
            except (DivergedError, MissingExtraError) as error:
                drop_outs[client] = DropOut(str(error))
            else:
                if scores:
                    found[client] = scores
            after_client()
        return HostedEvaluation(found, drop_outs)

    def _scores(
        self, client: int, order: EvaluationOrder, data: ClientData, judge_cache: Path
    ) -> dict[str, dict[str, float]]:
        member = self._at_rest(client, order.kept.get(client))
        # The order may change the client, and its next round must not depend on whether it was evaluated.
        self._clients.pop(client, None)
        member.begin_evaluation(order.orders.of(client))
        return own_scores(
            member,
            data,
            self._config,
            listed=self._method.crossing.scores,
            number=order.round,
            thoroughly=order.thoroughly,
            judge_cache=judge_cache,
        )

    def _train_in_turn(
        self,
        assignment: Assignment,
        timer: HostTimer,
        after_batch: Callable[[], None],
        after_client: Callable[[int], None],
    ) -> HostedRound:
        """Train one client after the other; only one of them is in memory, however many there are."""
        ended: dict[int, Upload | DropOut] = {}
        for client in assignment.clients:
            with measured_memory(self._config) as memory:
                member = self._begun(client, assignment)
                if not isinstance(member, MessageClient):
                    raise _wrong_base(member, MessageClient.__name__)
                memory.watch(member)
                unpaid = self._unpaid({client: member}, assignment)
                losses = unpaid.get(client) or _trained_alone(member, timer, after_batch)
            if isinstance(losses, DropOut):
                ended[client] = losses
                continue
            upload = self._ended(member, assignment, losses, timer)
            if isinstance(upload, Upload):
                upload = replace(upload, memory=memory.peaks)
                after_client(client)
            ended[client] = upload
        return _hosted(ended)

    def _unpaid(self, clients: Mapping[int, Client], assignment: Assignment) -> dict[int, DropOut]:
        """Charge the clients for the round; return those whose images have no privacy left for it."""
        unpaid = {}
        for client, member in clients.items():
            try:
                self._spent.charge(member, assignment.training, assignment.round, assignment.steps)
            except BudgetSpentError as error:
                unpaid[client] = DropOut(f"client {client}: {error}")
        return unpaid

    def _begun(self, client: int, assignment: Assignment) -> Client:
        order = assignment.orders.of(client)
        self._method.crossing.check_order(order)
        member = self._at_rest(client, assignment.kept.get(client))
        # If the round fails or is taken back, its training must not go on from here.
        self._clients.pop(client, None)
        member.begin(assignment.round, order)
        return member

    def _at_rest(self, client: int, kept: Kept | None) -> Client:
        """Return a client as it was after the last round that it finished."""
        member = self._clients.get(client)
        if member is None or self._kept[client] != kept:
            member, self._residuals[client] = self._open_client(client), {}
            if kept is not None:
                private, self._residuals[client] = without_residuals(self._private(client, kept))
                member.load_private(with_refused(private, self._folder_of(client), client))
        return member

    def _private(self, client: int, kept: Kept) -> Tensors:
        if self._images_of is not None:
            check_images(self._folder, client, kept, self._images_of(client))
        try:
            return load_private(self._folder_of(client), client, kept)
        except ClientFileError as error:
            if not self._may_have_lost_files:
                raise
            _LOGGER.warning("%s; it starts anew", error, extra={"client": client})
            return {}

    def _folder_of(self, client: int) -> Path:
        images_of = self._images_of
        return self._folder if images_of is None else folder_for_images(self._folder, images_of(client))

    def _ended(
        self, member: Client, assignment: Assignment, losses: Losses, timer: HostTimer
    ) -> Upload | DropOut:
        """Return what a client sends after its last batch, and keep what is to be kept."""
        client, upload, own = member.client, member.upload(), member.private()
        if not isinstance(upload, Upload):
            raise CrossingError(f"{type(member).__name__}.upload returned {upload!r:.40}; return an Upload")
        self._method.crossing.check_upload(upload)
        _check_losses(member, losses)
        bases, residuals = self._bases.of(client).tensors, self._residuals[client]
        tensors, residuals = self._wire.sent(upload.tensors, bases, residuals)
        private = with_residuals(own, residuals)
        # A batch's loss is computed before its step, so no loss shows what the last step did.
        broken = sorted(name for name, tensor in private.items() if not bool(tensor.isfinite().all()))
        if broken:
            return DropOut(f"client {client}: after the last batch {broken[0]} is not finite")
        kept = None
        if private:
            kept = save_private(
                private,
                self._folder_of(client),
                client,
                assignment.round,
                before=assignment.kept.get(client),
                keep_last=self._config.checkpoint.keep_last,
            )
        self._kept[client], self._residuals[client] = kept, residuals
        sent = {name: losses[name] for name in losses_sent(type(member), self._config) if name in losses}
        return replace(upload, tensors=tensors, losses=sent, times=timer.times().get(client), kept=kept)


class _Leaving:
    """Stands where a client would in lock-step that leaves it before its first step."""

    def __init__(self, member: LockStepClient, drop_out: DropOut) -> None:
        self.client, self.device = member.client, member.device
        self._drop_out = drop_out

    def step(self) -> ClientStep:
        yield Computed((), leaves=self._drop_out)


def _hosted(ended: Mapping[int, Upload | DropOut]) -> HostedRound:
    return HostedRound(
        {client: each for client, each in ended.items() if isinstance(each, Upload)},
        {client: each for client, each in ended.items() if isinstance(each, DropOut)},
    )


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
    found: dict[str, list[float]] = {}
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
            found.setdefault(name, []).append(loss)
        after_batch()
    if member.losses and not batches:
        return DropOut(f"client {member.client} has trained on no batch")
    return {name: sum(found[name]) / len(found[name]) for name in member.losses if name in found}


def _check_losses(member: Client, losses: Losses) -> None:
    """Raise ``CrossingError`` unless the losses are among those that the method's clients declare."""
    if not losses.keys() <= set(member.losses):
        raise CrossingError(
            f"client {member.client} has losses {sorted(losses)}, its method declares {sorted(member.losses)}"
        )
