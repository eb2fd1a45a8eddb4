import itertools
import threading
import time

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from huscf_flwr.flower import session_grid
from huscf_flwr.flower.session_grid import SessionGrid
from tests.flower.in_process_grid import InProcessGrid

PATIENCE = 300.0


@pytest.fixture
def blocked():
    """An event that the handlers of even nodes wait for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def grid(blocked):
    def handle(message, context):
        if context.node_id % 2 == 0:
            assert blocked.wait(PATIENCE)
        return Message(message.content, reply_to=message)

    grid = InProcessGrid({node: {} for node in (11, 12, 13)}, {}, app=handle)
    yield grid
    blocked.set()
    grid.close()


def messages():
    return [
        Message(
            RecordDict({"a": ConfigRecord({"node": node})}),
            dst_node_id=node,
            message_type="train",
            group_id="1",
        )
        for node in (11, 12, 13)
    ]


def senders(replies):
    return sorted(reply.metadata.src_node_id for reply in replies)


class HoursLater:
    """The time of a SessionGrid: it passes only once some SuperNodes have replied, and then by the hour."""

    def __init__(self, watch, replies):
        self._watch, self._replies = watch, replies
        self._hours = itertools.count(1)

    def monotonic(self):
        return 3600.0 * next(self._hours) if len(self._watch.replies) >= self._replies else 0.0

    def sleep(self, seconds):
        time.sleep(seconds)


class Watch:
    """Says that some SuperNodes are gone, and remembers whose handlers failed."""

    def __init__(self, gone=()):
        self._gone = gone
        self.failures, self.replies = [], []

    def gone(self):
        return self._gone

    def replied(self, node):
        self.replies.append(node)

    def failed(self, node, reason):
        self.failures.append((node, reason))


def test_all_replies_are_waited_for_while_nobody_is_gone(grid, blocked):
    threading.Timer(0.05, blocked.set).start()
    replies = SessionGrid(grid, Watch()).send_and_receive(messages(), timeout=PATIENCE)
    assert senders(replies) == [11, 12, 13]


def test_the_dead_are_given_up_soon_after_they_are_gone(grid, monkeypatch):
    """Without that this waits for ever: node 12 does not answer, and there is no timeout."""
    watch = Watch([12, 99])
    monkeypatch.setattr(session_grid, "time", HoursLater(watch, 2))
    replies = SessionGrid(grid, watch).send_and_receive(messages(), timeout=None)
    assert senders(replies) == [11, 13]


def test_who_is_gone_but_answers_in_time_is_heard(grid, blocked):
    threading.Timer(0.05, blocked.set).start()
    replies = SessionGrid(grid, Watch([11, 12, 13])).send_and_receive(messages(), timeout=PATIENCE)
    assert senders(replies) == [11, 12, 13]


def test_a_timeout_returns_what_came(grid, monkeypatch):
    watch = Watch()
    monkeypatch.setattr(session_grid, "time", HoursLater(watch, 2))
    replies = SessionGrid(grid, watch).send_and_receive(messages(), timeout=PATIENCE)
    assert senders(replies) == [11, 13]


def test_that_a_handler_failed_is_told_before_the_others_have_answered(blocked):
    """The others wait for it in the session."""
    watch = Watch()

    def handle(message, context):
        if context.node_id == 11:
            raise OSError("no data")
        assert blocked.wait(PATIENCE)
        return Message(message.content, reply_to=message)

    def release(node, reason):
        watch.failures.append((node, reason))
        blocked.set()

    watch.failed = release
    grid = InProcessGrid({node: {} for node in (11, 12, 13)}, {}, app=handle)
    replies = SessionGrid(grid, watch).send_and_receive(messages(), timeout=PATIENCE)
    grid.close()
    assert senders(replies) == [11, 12, 13]
    assert watch.failures == [(11, "OSError: no data")]
    assert sorted(watch.replies) == [12, 13]


def test_that_a_host_replied_is_told_before_the_others_have(grid, blocked):
    """Those that train by themselves are done then, and shown as such."""
    watch = Watch()

    def release(node):
        watch.replies.append(node)
        if len(watch.replies) == 2:
            blocked.set()

    watch.replied = release
    SessionGrid(grid, watch).send_and_receive(messages(), timeout=PATIENCE)
    assert sorted(watch.replies[:2]) == [11, 13]
    assert watch.replies[2:] == [12]


def test_everything_else_is_the_grids(grid):
    wrapped = SessionGrid(grid, Watch())
    assert list(wrapped.get_node_ids()) == [11, 12, 13]
    message = wrapped.create_message(RecordDict(), "train", 11, "5")
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (11, "5")
    (identifier,) = wrapped.push_messages([message])
    grid.close()
    (reply,) = wrapped.pull_messages([identifier])
    assert reply.metadata.reply_to_message_id == identifier
