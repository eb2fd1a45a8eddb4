"""A host: runs its clients' steps side by side over one channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from huscf_flwr.models import CPU
from huscf_flwr.split.client import Batch, SplitClient
from huscf_flwr.split.exchange import Computed, DropOut, Exchange, Frame, Parcels
from huscf_flwr.split.lockstep import Channel
from huscf_flwr.split.recording import side_by_side
from huscf_flwr.split.timing import HostTimer

_LOSSES = ("discriminator", "generator")
"""Whose losses a step has, in this order."""

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

    A client whose loss is not finite drops out; so does one that the executor gives up.
    """
    step = _HostStep(hosted, timer or HostTimer())
    parcels = step.begin()
    for exchange in Exchange:
        parcels = step.go_on(step.timer.exchange(channel, exchange, parcels))
        if not parcels:
            break
    return step.outcome


class _HostStep:
    """One step of all clients of a host, between the exchanges."""

    def __init__(self, hosted: Iterable[HostedClient], timer: HostTimer) -> None:
        members = list(hosted)
        self.timer = timer
        self.outcome: dict[int, StepLosses | DropOut] = {}
        self._device = members[0].client.device if members else CPU
        self._steps = {
            member.client.client: member.client.hosted_step(member.next_batch()) for member in members
        }
        self._losses: dict[int, list[float]] = {client: [] for client in self._steps}

    def begin(self) -> dict[int, Frame | DropOut]:
        """Return the first frame of every client."""
        return self._compute({client: partial(next, step) for client, step in self._steps.items()})

    def go_on(self, received: Parcels) -> dict[int, Frame | DropOut]:
        """Return the next frame of every client that has received one, and has not done its last part."""
        self.outcome |= {client: gone for client, gone in received.items() if isinstance(gone, DropOut)}
        return self._compute(
            {
                client: partial(self._steps[client].send, frame)
                for client, frame in received.items()
                if not isinstance(frame, DropOut)
            }
        )

    def _compute(self, parts: Mapping[int, Callable[[], Computed]]) -> dict[int, Frame | DropOut]:
        computed: dict[int, Computed] = {}
        with side_by_side(self._device):
            for client, compute in parts.items():
                with self.timer.computing(client):
                    try:
                        computed[client] = compute()
                    except StopIteration:
                        self.outcome[client] = StepLosses(*self._losses[client])
        losses = {client: part.loss for client, part in computed.items() if part.loss is not None}
        return {client: part.frame for client, part in computed.items()} | self._looked_at(losses)

    def _looked_at(self, losses: Mapping[int, Tensor]) -> dict[int, DropOut]:
        """Take note of the clients' losses; return those who must not go on."""
        if not losses:
            return {}
        for client, loss in zip(losses, torch.stack(list(losses.values())).tolist(), strict=True):
            self._losses[client].append(loss)
        return {
            client: DropOut(f"client {client}: the {_LOSSES[len(all_) - 1]}'s loss is {all_[-1]}")
            for client, all_ in self._losses.items()
            if client in losses and not math.isfinite(all_[-1])
        }


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
