from pathlib import Path

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.session.wire import StreamClaim
from huscf_flwr.soak.client import SoakRound
from huscf_flwr.soak.faults import KINDS, Fault
from huscf_flwr.soak.resources import Resources, grown
from huscf_flwr.soak.rounds import soak
from huscf_flwr.split import CRITICISE


@pytest.mark.parametrize("fault", [None, Fault("kill", CRITICISE, "during", 1)])
def test_a_round_is_one_line(fault):
    claim = StreamClaim(1, 2, 3, 4, (5,))
    given = SoakRound("localhost:1", "token", claim, Cut(1, 2, 1, 2), 3, Path("/tmp/blocks"), fault)
    line = given.to_line()
    assert line.count("\n") == 1
    assert SoakRound.from_line(line) == given


def test_what_grows_is_named():
    flat = [Resources(100, 20, 5)] * 16
    assert grown(flat) == []
    assert grown(flat[:12] + [Resources(100, 30, 5)] * 4) == ["descriptors grew from 20 to 30"]
    assert grown(flat[:12] + [Resources(500, 20, 50)] * 4) == [
        "memory grew from 100 to 500 MB",
        "threads grew from 5 to 50",
    ]
    assert grown(flat[:3]) == []


@pytest.mark.slow
def test_a_short_soak_accounts_for_all(tmp_path):
    """Nobody fails but by a fault, who fails is found out, and the round is finished without them.

    The seed gives, among others, a client that is killed, one that hangs and one that is slow, and one round
    in which fewer than two clients are left.
    """
    with soak(clients=4, rate=0.4, seed=61, folder=tmp_path) as prepared:
        for _ in range(5):
            prepared.round()
        books = prepared.books
    assert books.wrong == []
    assert (books.rounds, books.given_up, len(books.resources)) == (4, 1, 5)
    assert {"kill", "hang", "delay"} <= books.injected.keys() <= set(KINDS)


@pytest.mark.slow
def test_books_that_do_not_add_up_are_noticed(tmp_path, monkeypatch):
    """A fault that does nothing is one that nobody dropped out for."""
    monkeypatch.setattr("huscf_flwr.soak.rounds.KINDS", ("delay",))
    monkeypatch.setattr(Fault, "is_fatal", property(lambda _: True))
    with soak(clients=3, rate=1.0, seed=0, folder=tmp_path) as prepared:
        prepared.round()
        assert len(prepared.books.wrong) == 3
