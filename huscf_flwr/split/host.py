"""A host: runs its clients' steps side by side over one channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from huscf_flwr.models import CPU
from huscf_flwr.split.client import Batch, SplitClient
from huscf_flwr.split.exchange import Computed, DropOut, Exchange, Frame, numbers_of, resumed
from huscf_flwr.split.lockstep import Channel
from huscf_flwr.split.recording import side_by_side
from huscf_flwr.split.timing import HostTimer

_LOSSES = ("discriminator", "generator")
"""Whose losses a step has, in this order."""

Answer = tuple[int, Frame | DropOut | None]
"""A client and what came down for it; nothing before its first part."""

BatchSource = Callable[[], Batch]
"""Gives a client's next mini-batch."""


@dataclass(frozen=True)
class HostedClient:
    """A client and where its batches come from in this round."""

    client: SplitClient
    next_batch: BatchSource


@dataclass(frozen=True)
class StepLosses:
    """Mean losses of one client in one step."""

    discriminator: float
    """Binary cross entropy on fakes plus that on real images."""
    generator: float
    """Binary cross entropy of the fakes against the target of real images."""


@dataclass(frozen=True)
class TrainedSteps:
    """What became of a host's clients."""

    losses: Mapping[int, StepLosses]
    """Means over the steps, of the clients that took part to the end."""
    drop_outs: Mapping[int, DropOut]


def run_step(
    hosted: Iterable[HostedClient], channel: Channel, timer: HostTimer | None = None
) -> dict[int, StepLosses | DropOut]:
    """Run one step of all clients of a host through its six exchanges; return their losses.

    What a client sends is on its way while the next one computes, and its answer is worked on while those of
    the others are on theirs; on a GPU, all clients compute side by side instead. A client whose loss is not
    finite drops out; so does one that the executor gives up.
    """
    return _HostStep(hosted, channel, timer or HostTimer()).run()


class _HostStep:
    """One step of all clients of a host."""

    def __init__(self, hosted: Iterable[HostedClient], channel: Channel, timer: HostTimer) -> None:
        members = list(hosted)
        self._channel, self._timer = channel, timer
        self._device = members[0].client.device if members else CPU
        self._steps = {
            member.client.client: member.client.hosted_step(member.next_batch()) for member in members
        }
        self._losses: dict[int, list[float]] = {client: [] for client in self._steps}
        self._outcome: dict[int, StepLosses | DropOut] = {}

    def run(self) -> dict[int, StepLosses | DropOut]:
        due = sum(
            self._go_on(some, Exchange.GENERATE) for some in self._at_once((k, None) for k in self._steps)
        )
        for exchange in Exchange:
            answers = (self._timer.receive(self._channel, exchange) for _ in range(due))
            due = sum(self._go_on(some, exchange.following) for some in self._at_once(answers))
        return self._outcome

    def _at_once(self, answers: Iterable[Answer]) -> Iterator[list[Answer]]:
        """Group the clients' answers by when they are worked on."""
        if self._device.type == "cpu":
            yield from ([answer] for answer in answers)
        else:
            yield list(answers)

    def _go_on(self, answers: Iterable[Answer], exchange: Exchange) -> int:
        """Let clients compute, and send in ``exchange``; return how many did, and so are due an answer."""
        computed: dict[int, Computed] = {}
        with side_by_side(self._device):
            for client, answer in answers:
                if isinstance(answer, DropOut):
                    self._outcome[client] = answer
                    continue
                with self._timer.computing(client):
                    part = resumed(self._steps[client], answer)
                if part is not None:
                    computed[client] = part
                else:
                    self._outcome[client] = StepLosses(*self._losses[client])
        refused = self._refused({k: part.loss for k, part in computed.items() if part.loss is not None})
        for client, part in computed.items():
            self._timer.send(self._channel, exchange, client, refused.get(client, part.frame))
        return len(computed)

    def _refused(self, losses: Mapping[int, Tensor]) -> dict[int, DropOut]:
        """Take note of clients' losses; return those clients that must not go on."""
        refused = {}
        for client, loss in zip(losses, numbers_of(list(losses.values())), strict=True):
            network = _LOSSES[len(self._losses[client])]
            self._losses[client].append(loss)
            if not math.isfinite(loss):
                refused[client] = DropOut(f"client {client}: the {network}'s loss is {loss}")
        return refused


def run_steps(
    hosted: Iterable[HostedClient], channel: Channel, steps: int, timer: HostTimer | None = None
) -> TrainedSteps:
    """Run ``steps`` steps, or as many as there are clients for. ``timer`` then knows how long they took."""
    members = {member.client.client: member for member in hosted}
    totals = {client: StepLosses(0.0, 0.0) for client in members}
    drop_outs: dict[int, DropOut] = {}
    for _ in range(steps):
        if not members:
            break
        for client, outcome in run_step(members.values(), channel, timer).items():
            if isinstance(outcome, DropOut):
                drop_outs[client] = outcome
                del members[client], totals[client]
            else:
                totals[client] = StepLosses(
                    totals[client].discriminator + outcome.discriminator / steps,
                    totals[client].generator + outcome.generator / steps,
                )
    return TrainedSteps(totals, drop_outs)
