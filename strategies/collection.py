"""What comes back from the hosts of a session, and what of it can be used.

A reply may be late, a duplicate, of another round or attempt, or wrong in any other way: then it counts as
missing, and its clients have dropped out, or are not among those that judged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, field

from flwr.app import RecordDict

from huscf_flwr.models import BlockStates
from huscf_flwr.split import ClientTimes, LockStep, StepLosses
from huscf_flwr.training.moments import KeptMoments
from huscf_flwr.training.run import Run
from strategies.log_display import LOGGER
from strategies.messages import EvaluateReply, TrainReply
from strategies.replies import check_clients, read_reply


@dataclass
class Trained:
    """What the clients of a round brought back, by client id."""

    blocks: dict[int, BlockStates] = field(default_factory=dict)
    losses: dict[int, StepLosses] = field(default_factory=dict)
    times: dict[int, ClientTimes] = field(default_factory=dict)
    kept: dict[int, KeptMoments] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionHosts:
    """The SuperNodes behind the hosts of a session."""

    session: LockStep
    nodes: tuple[int, ...]
    """Node ids in the order of the hosts."""
    reply_seconds: float
    """How long after the last step a reply may take."""

    def clients(self, node: int) -> tuple[int, ...]:
        """Return the clients of a SuperNode that have not dropped out."""
        return self.session.present(self.nodes.index(node)) if node in self.nodes else ()

    def without_clients(self) -> frozenset[int]:
        """Return the SuperNodes whose clients all dropped out."""
        return frozenset(node for node in self.nodes if not self.clients(node))

    def gone(self) -> Collection[int]:
        """Return the SuperNodes whose replies are worth nothing any more, or are too late."""
        is_late = self.session.finished and self.session.idle_s > self.reply_seconds
        return self.nodes if is_late or self.session.failure is not None else self.without_clients()

    def failed(self, node: int, reason: str) -> None:
        """Let the clients of a SuperNode drop out."""
        if node in self.nodes:
            self.session.leave(self.nodes.index(node), f"SuperNode {node}: {reason}")


def collect(found: Mapping[int, RecordDict], run: Run, hosts: SessionHosts) -> Trained:
    """Return what can be used of the replies ``found``, which are by node id; all others drop out."""
    trained = Trained()
    for node in hosts.nodes:
        if not hosts.clients(node):
            continue
        try:
            if node not in found:
                raise ValueError("no reply")
            reply = _valid_reply(found[node], run, hosts.clients(node))
        except ValueError as error:
            LOGGER.warning("SuperNode %s: %s", node, error)
            hosts.failed(node, str(error))
            continue
        trained.blocks.update(reply.blocks)
        trained.losses.update(reply.losses)
        trained.times.update(reply.times)
        trained.kept.update(reply.kept)
    return trained


def judgements(
    found: Mapping[int, RecordDict], clients: Mapping[int, Collection[int]]
) -> dict[int, tuple[int, Mapping[str, float]]]:
    """Return number of test samples and scores by client, of what can be used of the replies ``found``.

    Those, and the ``clients`` that each SuperNode may speak for, are by node id. The others are logged.
    """
    usable = {}
    for node, records in found.items():
        try:
            reply = read_reply(EvaluateReply.from_records, records)
            check_clients([reply.client], clients[node])
            _check_scores(reply)
        except ValueError as error:
            LOGGER.warning("SuperNode %s: %s; its scores do not count", node, error)
            continue
        usable[reply.client] = reply.test_samples, reply.scores
    return usable


def _valid_reply(records: RecordDict, run: Run, clients: Collection[int]) -> TrainReply:
    """Return a reply; raises ``ValueError`` if it is not one for this attempt and for these clients."""
    reply = read_reply(TrainReply.from_records, records)
    number = run.coordinator.round
    if (reply.round, reply.attempt) != (number, run.attempt):
        raise ValueError(
            f"a reply for round {reply.round}, attempt {reply.attempt}, but it is round {number}, attempt "
            f"{run.attempt}"
        )
    for part in (reply.blocks, reply.losses, reply.times, reply.kept):
        check_clients(part, clients)
    for client, times in reply.times.items():
        if not all(math.isfinite(seconds) and seconds >= 0 for seconds in astuple(times)):
            raise ValueError(f"client {client} took {times}, which are no seconds")
    for client, blocks in reply.blocks.items():
        run.coordinator.check_blocks(client, blocks)
    return reply


def _check_scores(reply: EvaluateReply) -> None:
    """Raise ``ValueError`` if nothing can be averaged with these scores."""
    if reply.test_samples < 1:
        raise ValueError(f"scores on {reply.test_samples} test samples")
    for name, score in reply.scores.items():
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f"{name} is {score}, which is no finite number")
