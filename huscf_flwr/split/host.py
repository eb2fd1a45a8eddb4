"""A host: runs its clients' steps side by side over one channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from huscf_flwr.split.client import Batch, NonFiniteLossError, SplitClient, StepLosses
from huscf_flwr.split.exchange import Exchange, Frame
from huscf_flwr.split.lockstep import Channel
from huscf_flwr.split.timing import HostTimer

BatchSource = Callable[[], Batch]
"""Gives a client's next mini-batch."""


@dataclass(frozen=True)
class HostedClient:
    """A client and where its batches come from in this round."""

    client: SplitClient
    next_batch: BatchSource


def run_step(
    hosted: Iterable[HostedClient], channel: Channel, timer: HostTimer | None = None
) -> dict[int, StepLosses]:
    """Run one step of all clients of a host through its six exchanges; return their losses."""
    timer = timer or HostTimer()
    steps = {member.client.client: member.client.step(member.next_batch()) for member in hosted}
    frames: dict[int, Frame] = {}
    for client, step in steps.items():
        with timer.computing(client):
            frames[client] = next(step)
    losses: dict[int, StepLosses] = {}
    for exchange in Exchange:
        received = timer.exchange(channel, exchange, frames)
        frames = {}
        for client, step in steps.items():
            with timer.computing(client):
                try:
                    frames[client] = step.send(received[client])
                except StopIteration as finished:
                    losses[client] = finished.value
    return losses


def run_steps(
    hosted: Iterable[HostedClient], channel: Channel, steps: int, timer: HostTimer | None = None
) -> Mapping[int, StepLosses]:
    """Run ``steps`` steps; return each client's mean losses. ``timer`` then knows how long they took.

    Raises ``NonFiniteLossError`` naming the step and the client as soon as a loss is not finite.
    """
    members = tuple(hosted)
    totals = {member.client.client: StepLosses(0.0, 0.0) for member in members}
    for number in range(1, steps + 1):
        try:
            finished = run_step(members, channel, timer)
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"step {number}, {error}") from error
        for client, losses in finished.items():
            totals[client] = StepLosses(
                totals[client].discriminator + losses.discriminator / steps,
                totals[client].generator + losses.generator / steps,
            )
    return totals
