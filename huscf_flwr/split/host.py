"""A host: runs its clients' steps side by side over one channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from huscf_flwr.split.client import Batch, ClientStep, NonFiniteLossError, SplitClient, StepLosses
from huscf_flwr.split.exchange import DropOut, Exchange, Frame, Parcel
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

    What a client sends is on its way while the next one computes, and its answer is worked on while those of
    the others are on theirs. A client whose loss is not finite drops out; so does one that the executor gives
    up.
    """
    timer = timer or HostTimer()
    steps = {member.client.client: member.client.step(member.next_batch()) for member in hosted}
    outcome: dict[int, StepLosses | DropOut] = {}

    def go_on(client: int, answer: Frame | None, exchange: Exchange) -> bool:
        """Let a client compute, and send in ``exchange``; return whether it did, and so is due an answer."""
        with timer.computing(client):
            computed = _computed(steps[client], answer)
        if isinstance(computed, StepLosses):
            outcome[client] = computed
            return False
        timer.send(channel, exchange, client, computed)
        return True

    due = sum(go_on(client, None, Exchange.GENERATE) for client in steps)
    for exchange in Exchange:
        answers, due = due, 0
        for _ in range(answers):
            client, answer = timer.receive(channel, exchange)
            if isinstance(answer, DropOut):
                outcome[client] = answer
            else:
                due += go_on(client, answer, exchange.following)
    return outcome


def _computed(step: ClientStep, answer: Frame | None) -> Parcel | StepLosses:
    """Resume a client's step with what it received; return what it sends, or its losses at the end."""
    try:
        return next(step) if answer is None else step.send(answer)
    except StopIteration as finished:
        losses: StepLosses = finished.value
        return losses
    except NonFiniteLossError as error:
        return DropOut(str(error))


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
