"""What comes back from the hosts of a round, and what of it is valid.

A reply may be late, a duplicate, of another round or attempt, or wrong in any other way: then it counts as
missing, and its clients have dropped out, or are not among those that judged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from flwr.app import RecordDict

from huscf_flwr.flower.log_display import LOGGER
from huscf_flwr.flower.messages import EvaluateReply, EvaluateRequest, TrainReply
from huscf_flwr.flower.replies import check_clients, read_reply
from huscf_flwr.methods.contract import Method, Upload
from huscf_flwr.run.rounds import OpenRound
from huscf_flwr.run.run import Run
from huscf_flwr.session import MessageSession


class RoundHosts:
    """The SuperNodes behind the hosts of a round, and whether they need be waited for."""

    def __init__(
        self,
        opened: OpenRound,
        nodes: Sequence[int],
        *,
        reply_seconds: float = math.inf,
        round_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to wait for ``nodes``, which are node ids in the order of the hosts.

        A reply may take ``reply_seconds`` after the last step of a lock-step, and ``round_seconds`` from now
        on by ``clock``.
        """
        self.opened = opened
        self.nodes = tuple(nodes)
        self._reply_seconds = reply_seconds
        self._round_seconds = round_seconds
        self._clock = clock
        self._began = clock()
        self._replied: set[int] = set()

    def clients(self, node: int) -> tuple[int, ...]:
        """Return the clients of a SuperNode that have not dropped out."""
        return self.opened.session.present(self.nodes.index(node)) if node in self.nodes else ()

    def without_clients(self) -> frozenset[int]:
        """Return the SuperNodes whose clients all dropped out."""
        return frozenset(node for node in self.nodes if not self.clients(node))

    def lost(self) -> frozenset[int]:
        """Return the SuperNodes that did not reply and whose clients all dropped out."""
        return self.without_clients() - self._replied

    def gone(self) -> Collection[int]:
        """Return the SuperNodes whose replies are worth nothing any more, or are too late."""
        session = self.opened.session
        if self._clock() - self._began > self._round_seconds:
            for node in self.nodes:
                if node not in self._replied:
                    self.failed(node, f"no reply within {self._round_seconds:g} s")
        is_late = session.finished and session.idle_s > self._reply_seconds
        return self.nodes if is_late or session.failure is not None else self.without_clients()

    def replied(self, node: int) -> None:
        """Take note that a SuperNode has replied: its clients are done, if messages are all they need."""
        self._replied.add(node)
        session = self.opened.session
        if isinstance(session, MessageSession):
            for client in self.clients(node):
                session.done(client)

    def failed(self, node: int, reason: str) -> None:
        """Let the clients of a SuperNode drop out."""
        if node in self.nodes:
            self.opened.session.leave(self.nodes.index(node), f"SuperNode {node}: {reason}")


class EvaluatingHosts:
    """The SuperNodes that were asked to evaluate, and how long they are waited for."""

    def __init__(
        self,
        asked: Mapping[int, EvaluateRequest],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to wait ``seconds`` by ``clock`` for answers to what was ``asked``, by node id."""
        self.asked = asked
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self._heard: set[int] = set()

    def gone(self) -> Collection[int]:
        """Return the SuperNodes whose replies would be too late."""
        if self._clock() - self._began <= self._seconds:
            return ()
        for node in sorted(self.asked.keys() - self._heard):
            self.failed(node, f"no reply within {self._seconds:g} s")
        return self.asked

    def replied(self, node: int) -> None:
        """Take note that a SuperNode has replied."""
        self._heard.add(node)

    def failed(self, node: int, reason: str) -> None:
        """Log why a SuperNode has no scores."""
        self._heard.add(node)
        LOGGER.warning("SuperNode %s: %s; its clients' models are not scored", node, reason)


def collect(found: Mapping[int, RecordDict], run: Run, hosts: RoundHosts) -> dict[int, Upload]:
    """Return the uploads in the replies ``found``, which are by node id, by client id.

    The clients of a SuperNode without a valid reply drop out. What the uploads are worth the run decides.
    """
    uploads: dict[int, Upload] = {}
    for node in hosts.nodes:
        if not hosts.clients(node):
            continue
        try:
            if node not in found:
                raise ValueError("no reply")
            uploads.update(_uploads(found[node], run, hosts, node))
        except ValueError as error:
            LOGGER.warning("SuperNode %s: %s", node, error)
            hosts.failed(node, str(error))
    return uploads


def judgements(
    found: Mapping[int, RecordDict], asked: Mapping[int, EvaluateRequest], method: type[Method]
) -> EvaluateReply:
    """Return what can be used of the replies ``found``, as one; both are by node id.

    A reply is logged and left out if it has anything that its SuperNode was not asked for, or a score that is
    not a number.
    """
    usable = EvaluateReply()
    for node, records in found.items():
        try:
            reply = read_reply(lambda each: EvaluateReply.from_records(each, method), records)
            reply.check_answers(asked[node])
            for own in reply.own.values():
                for scores in own.values():
                    _check_finite(scores)
            for judged in reply.products.values():
                _check_finite(judged.scores)
        except ValueError as error:
            LOGGER.warning("SuperNode %s: %s; its scores do not count", node, error)
            continue
        usable = EvaluateReply(
            own={**usable.own, **reply.own},
            products={**usable.products, **reply.products},
            drop_outs={**usable.drop_outs, **reply.drop_outs},
        )
    return usable


def _uploads(records: RecordDict, run: Run, hosts: RoundHosts, node: int) -> Mapping[int, Upload]:
    """Return a reply's uploads; raises ``ValueError`` if it is none for this attempt and these clients."""
    opened = hosts.opened
    reply = read_reply(lambda each: TrainReply.from_records(each, type(run.method)), records)
    if (reply.round, reply.attempt) != (opened.number, opened.attempt):
        raise ValueError(
            f"a reply for round {reply.round}, attempt {reply.attempt}, but it is round {opened.number}, "
            f"attempt {opened.attempt}"
        )
    for client, reason in reply.drop_outs.items():
        if client in hosts.clients(node):
            opened.session.drop(client, reason)
    check_clients(reply.uploads, hosts.clients(node))
    return reply.uploads


def _check_finite(scores: Mapping[str, float]) -> None:
    """Raise ``ValueError`` if nothing can be averaged with these scores."""
    for name, score in scores.items():
        if not math.isfinite(score):
            raise ValueError(f"{name} is {score}, which is not a finite number")
