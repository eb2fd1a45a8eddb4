"""A host: runs its clients' steps side by side over one channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from huscf_flwr.split.client import Batch, NonFiniteLossError, SplitClient, StepLosses
from huscf_flwr.split.exchange import DropOut, Exchange, Frame
from huscf_flwr.split.lockstep import Channel
from huscf_flwr.split.timing import HostTimer

BatchSource = Callable[[], Batch]
"""Gives a client's next mini-batch."""


@dataclass(frozen=True)
class HostedClient:
    """A client and where its batches come from in this round."""

    client: SplitClient
    next_batch: BatchSource


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
    timer = timer or HostTimer()
    steps = {member.client.client: member.client.step(member.next_batch()) for member in hosted}
    parcels: dict[int, Frame | DropOut] = {}
    for client, step in steps.items():
        with timer.computing(client):
            parcels[client] = next(step)
    outcome: dict[int, StepLosses | DropOut] = {}
    for exchange in Exchange:
        received = timer.exchange(channel, exchange, parcels)
        parcels = {}
        for client, parcel in received.items():
            if isinstance(parcel, DropOut):
                outcome[client] = parcel
                continue
            with timer.computing(client):
                try:
                    parcels[client] = steps[client].send(parcel)
                except StopIteration as finished:
                    outcome[client] = finished.value
                except NonFiniteLossError as error:
                    parcels[client] = DropOut(str(error))
        if not parcels:
            break
    return outcome


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
