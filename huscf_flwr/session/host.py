"""A host: runs its clients' steps side by side over one channel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from huscf_flwr.session.channel import Channel
from huscf_flwr.session.exchange import (
    ClientStep,
    Computed,
    DropOut,
    Exchange,
    Frame,
    FrameError,
    Losses,
    numbers_of,
    resumed,
)
from huscf_flwr.session.recording import side_by_side
from huscf_flwr.session.timing import HostTimer

Answer = tuple[int, Frame | DropOut | None]
"""A client and what came down for it; nothing before its first part."""


class Member(Protocol):
    """A client on a host."""

    @property
    def client(self) -> int:
        """Its id."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def step(self) -> ClientStep:
        """Return the next step, on its next batch."""
        ...


@dataclass(frozen=True)
class TrainedSteps:
    """What became of a host's clients."""

    losses: Mapping[int, Losses]
    """Means over the steps, of the clients that took part to the end."""
    drop_outs: Mapping[int, DropOut]


def run_step(
    members: Iterable[Member], channel: Channel, timer: HostTimer | None = None
) -> dict[int, Losses | DropOut]:
    """Run one step of all clients of a host through its exchanges; return their losses.

    What a client sends is on its way while the next one computes, and its answer is worked on while those of
    the others are on theirs; on a GPU, all clients compute side by side instead. A client whose loss is not
    finite drops out; so does one that the executor gives up.
    """
    return _HostStep(list(members), channel, timer or HostTimer()).run()


class _HostStep:
    """One step of all clients of a host."""

    def __init__(self, members: Sequence[Member], channel: Channel, timer: HostTimer) -> None:
        self._channel, self._timer = channel, timer
        self._device = members[0].device if members else torch.device("cpu")
        self._steps = {member.client: member.step() for member in members}
        self._losses: dict[int, dict[str, float]] = {client: {} for client in self._steps}
        self._outcome: dict[int, Losses | DropOut] = {}

    def run(self) -> dict[int, Losses | DropOut]:
        first, *others = self._channel.exchanges
        due = self._work_on(((client, None) for client in self._steps), first)
        for exchange, following in zip((first, *others), (*others, None), strict=True):
            answers = (self._timer.receive(self._channel, exchange) for _ in range(due))
            due = self._work_on(answers, following)
        return self._outcome

    def _work_on(self, answers: Iterable[Answer], exchange: Exchange | None) -> int:
        """Work on answers as they come, and send in ``exchange``; return how many answers are due then."""
        return sum(self._compute(together, exchange) for together in self._grouped(answers))

    def _grouped(self, answers: Iterable[Answer]) -> Iterator[list[Answer]]:
        """Group the clients' answers by which are worked on together."""
        if self._device.type == "cpu":
            yield from ([answer] for answer in answers)
        else:
            yield list(answers)

    def _compute(self, answers: Iterable[Answer], exchange: Exchange | None) -> int:
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
                    self._outcome[client] = self._losses[client]
        refused = self._refused(computed)
        for client, part in computed.items():
            if exchange is None:
                raise FrameError(f"client {client} has more to send than the step has exchanges")
            self._timer.send(self._channel, exchange, client, refused.get(client, part.frame))
        return len(computed)

    def _refused(self, computed: Mapping[int, Computed]) -> dict[int, DropOut]:
        """Take note of clients' losses; return those clients that do not go on."""
        found: list[tuple[int, str, Tensor]] = [
            (client, name, loss) for client, part in computed.items() for name, loss in part.losses.items()
        ]
        refused = {client: part.leaves for client, part in computed.items() if part.leaves is not None}
        for (client, name, _), loss in zip(found, numbers_of([loss for *_, loss in found]), strict=True):
            self._losses[client][name] = loss
            if not math.isfinite(loss):
                refused.setdefault(client, DropOut(f"client {client}: the {name}'s loss is {loss}"))
        return refused


def run_steps(
    members: Iterable[Member], channel: Channel, steps: int, timer: HostTimer | None = None
) -> TrainedSteps:
    """Run ``steps`` steps, or as many as there are clients for. ``timer`` then knows how long they took."""
    present = {member.client: member for member in members}
    totals: dict[int, dict[str, float]] = {client: {} for client in present}
    drop_outs: dict[int, DropOut] = {}
    for _ in range(steps):
        if not present:
            break
        for client, outcome in run_step(present.values(), channel, timer).items():
            if isinstance(outcome, DropOut):
                drop_outs[client] = outcome
                del present[client], totals[client]
                continue
            total = totals[client]
            for name, loss in outcome.items():
                total[name] = total.get(name, 0.0) + loss / steps
    return TrainedSteps(totals, drop_outs)
