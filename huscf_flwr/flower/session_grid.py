"""A Grid that does not wait for the dead.

In a lock-step, the executor learns within one exchange that a host is gone; Flower learns it after a minute
if the process was killed, and not before the timeout if it hangs. And the other way round: a handler that
fails before it comes to the executor has answered Flower long before the executor misses it. So this wrapper
stops waiting for replies soon after the session has given a host up, tells the session of handlers that
failed and of replies that came, and leaves everything else to the Grid that it wraps.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 5.0


class SessionWatch(Protocol):
    """What the Grid tells and asks about the hosts of a session, which are SuperNodes by node id."""

    def gone(self) -> Collection[int]:
        """Return the hosts that need not be waited for."""
        ...

    def replied(self, node: int) -> None:
        """Take note that a host has replied."""
        ...

    def failed(self, node: int, reason: str) -> None:
        """Take note that the handler of a host failed."""
        ...


class SessionGrid(Grid):
    """Forwards to ``grid``, but gives up on a reply ``_GRACE_SECONDS`` after its SuperNode is gone."""

    def __init__(self, grid: Grid, watch: SessionWatch) -> None:
        self._grid = grid
        self._watch = watch

    def set_run(self, run: Any) -> None:
        """Forward."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """Run information."""
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Forward."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Forward."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Any:
        """Forward."""
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Forward."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Forward."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Return the replies that came before ``timeout`` seconds, and before their SuperNodes were gone."""
        sent = list(messages)
        self.push_messages(sent)
        waiting = {message.metadata.message_id: message.metadata.dst_node_id for message in sent}
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        gone_since: dict[int, float] = {}
        replies: list[Message] = []
        while waiting and time.monotonic() < deadline:
            for reply in self.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id)
                replies.append(reply)
                if reply.has_error():
                    self._watch.failed(node, reply.error.reason or "its handler failed")
                else:
                    self._watch.replied(node)
            now = time.monotonic()
            gone_since = {node: gone_since.get(node, now) for node in self._watch.gone()}
            waiting = {
                message: node
                for message, node in waiting.items()
                if now - gone_since.get(node, now) < _GRACE_SECONDS
            }
            if waiting:
                time.sleep(_POLL_SECONDS)
        return replies
