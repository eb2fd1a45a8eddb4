import threading

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from strategies import session_grid
from strategies.session_grid import SessionGrid
from tests.strategies.in_process_grid import InProcessGrid

PATIENCE = 30.0


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


def test_all_replies_are_waited_for_while_the_session_is_well(grid, blocked):
    threading.Timer(0.05, blocked.set).start()
    replies = SessionGrid(grid, lambda: False).send_and_receive(messages(), timeout=PATIENCE)
    assert senders(replies) == [11, 12, 13]


def test_the_dead_are_given_up_soon_after_the_session_has_failed(grid, monkeypatch):
    """Without the failure this waits for ever: node 12 does not answer, and there is no timeout."""
    monkeypatch.setattr(session_grid, "_GRACE_SECONDS", 0.3)
    replies = SessionGrid(grid, lambda: True).send_and_receive(messages(), timeout=None)
    assert senders(replies) == [11, 13]


def test_a_timeout_returns_what_came(grid):
    replies = SessionGrid(grid, lambda: False).send_and_receive(messages(), timeout=0.3)
    assert senders(replies) == [11, 13]


def test_everything_else_is_the_grids(grid):
    wrapped = SessionGrid(grid, lambda: False)
    assert list(wrapped.get_node_ids()) == [11, 12, 13]
    message = wrapped.create_message(RecordDict(), "train", 11, "5")
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (11, "5")
    (identifier,) = wrapped.push_messages([message])
    grid.close()
    (reply,) = wrapped.pull_messages([identifier])
    assert reply.metadata.reply_to_message_id == identifier
