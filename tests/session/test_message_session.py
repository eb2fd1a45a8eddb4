"""A round without an executor: who is done, who has dropped out, and when that is too few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session import DroppedClient, LockStep, MessageSession, SessionError, TooFewClientsError
from tests.session.clock import Clock

HOSTS = [[4, 1], [2]]


def test_it_is_finished_when_all_are_done_that_have_not_dropped_out():
    done, told = [], []
    session = MessageSession(HOSTS, progress=done.append, on_drop_out=lambda *of: told.append(of))
    assert session.hosts == ((4, 1), (2,))
    assert session.present(0) == (4, 1)
    session.done(1)
    session.drop(4, "no battery")
    assert not session.finished
    session.done(2)
    assert session.finished
    assert session.failure is None
    assert done == [1, 2]
    assert session.dropped == {4: DroppedClient(None, None, "no battery")}
    assert told == [(4, session.dropped[4])]
    assert session.present(0) == (1,)


@given(st.permutations([4, 1, 2]), st.lists(st.sampled_from(["done", "drop"]), min_size=3, max_size=3))
def test_in_whatever_order_clients_are_done_or_drop_out(clients, fates):
    session = MessageSession(HOSTS, min_clients=0)
    for place, (client, fate) in enumerate(zip(clients, fates, strict=True)):
        assert not session.finished
        session.done(client) if fate == "done" else session.drop(client, "gone")
        assert len(session.dropped) == fates[: place + 1].count("drop")
    assert session.finished
    assert session.failure is None


@pytest.mark.parametrize("least", [1, 2, 3])
def test_with_fewer_than_the_least_number_of_clients_it_fails(least):
    session = MessageSession(HOSTS, min_clients=least)
    session.done(2)
    session.leave(0, "gone")
    assert session.dropped.keys() == ({4} if least == 3 else {4, 1})
    assert isinstance(session.failure, TooFewClientsError) == (least > 1)


def test_that_the_last_who_is_missing_drops_out_may_be_too_many():
    session = MessageSession(HOSTS, min_clients=3)
    session.done(1)
    session.done(2)
    session.drop(4, "gone")
    assert str(session.failure) == (
        "2 clients are left, fewer than min_clients = 3; the last to drop out was client 4: gone"
    )


def test_a_client_that_was_done_may_drop_out():
    """Such as one whose upload is refused; what all others did stays."""
    session = MessageSession(HOSTS, min_clients=3)
    for client in (4, 1, 2):
        session.done(client)
    session.drop(2, "its upload is of another shape")
    assert session.finished
    assert session.failure is None
    assert session.present(1) == ()


def test_who_has_no_part_cannot_be_done():
    session = MessageSession(HOSTS)
    session.drop(4, "late")
    for client in (4, 7):
        with pytest.raises(SessionError, match=f"client {client} has no part in the round"):
            session.done(client)
    assert not session.finished


def test_once_it_has_failed_nobody_drops_out():
    session = MessageSession(HOSTS)
    session.abort(ValueError("first"))
    session.abort(ValueError("second"))
    session.leave(0, "gone")
    assert str(session.failure) == "first"
    assert session.dropped == {}


def test_it_is_idle_since_the_last_client_was_done():
    clock = Clock()
    session = MessageSession(HOSTS, clock=clock)
    clock.now += 7.0
    assert session.idle_s == 7.0
    session.done(2)
    clock.now += 2.0
    session.drop(1, "gone")
    assert session.idle_s == 2.0


def test_a_reason_to_stop_is_kept_and_nothing_is_waited_for():
    session = MessageSession(HOSTS)
    assert session.stopped is None
    reason = KeyboardInterrupt()
    session.stop(reason)
    assert session.stopped is reason
    assert session.failure is None
    session.wait_until_idle()
    assert (list(session.step_seconds), session.served_s, session.waited) == ([], 0.0, [0.0, 0.0])


def test_those_who_drive_a_round_find_the_same_face_on_both_sessions():
    face = {name for name in dir(MessageSession) if not name.startswith("_")} - {"done"}
    assert face <= {name for name in dir(LockStep) if not name.startswith("_")}
