import sys

import pytest

from huscf_flwr.bench import opponent
from huscf_flwr.bench.opponent import plain_opponent


def test_a_step_is_over_when_the_other_process_has_done_it():
    with plain_opponent(clients=1, batch_size=2) as step:
        step()
        step()


def test_a_process_that_has_ended_is_noticed(monkeypatch):
    monkeypatch.setattr(opponent, "_DONE", "something else\n")
    with plain_opponent(clients=1, batch_size=2) as step, pytest.raises(RuntimeError, match="has ended"):
        step()


def test_the_process_ends_with_the_comparison(monkeypatch):
    started = []
    popen = opponent.subprocess.Popen
    monkeypatch.setattr(
        opponent.subprocess,
        "Popen",
        lambda *arguments, **settings: started.append(popen(*arguments, **settings)) or started[-1],
    )
    with plain_opponent(clients=1, batch_size=2) as step:
        step()
    assert started[0].returncode == 0
    assert started[0].args[0] == sys.executable
