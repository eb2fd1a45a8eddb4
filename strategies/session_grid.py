"""A Grid that does not wait for the dead.

The executor learns within one exchange that a host is gone; Flower learns it after a minute if the process
was killed, and not before the timeout if it hangs. So while a session runs, this wrapper stops waiting for
replies soon after the session has failed, and leaves everything else to the Grid that it wraps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 5.0


class SessionGrid(Grid):
    """Forwards to ``grid``, but gives up on replies ``_GRACE_SECONDS`` after ``has_failed`` says so."""

    def __init__(self, grid: Grid, has_failed: Callable[[], bool]) -> None:
        self._grid = grid
        self._has_failed = has_failed

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
        """Return the replies that came before ``timeout`` seconds and before the session failed."""
        waiting = set(self.push_messages(messages))
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        replies: list[Message] = []
        while waiting and time.monotonic() < deadline:
            if self._has_failed():
                deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
            arrived = list(self.pull_messages(waiting))
            replies.extend(arrived)
            waiting -= {reply.metadata.reply_to_message_id for reply in arrived}
            if waiting:
                time.sleep(_POLL_SECONDS)
        return replies
