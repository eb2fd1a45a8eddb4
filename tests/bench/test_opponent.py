import sys

import pytest

from huscf_flwr.bench import opponent
from huscf_flwr.bench.opponent import plain_opponent


def test_a_step_is_over_when_the_other_process_has_done_it():
    with plain_opponent(clients=1, batch_size=2) as step:
        step()
        step()


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    processes = []
    popen = opponent.subprocess.Popen
    monkeypatch.setattr(
        opponent.subprocess,
        "Popen",
        lambda *arguments, **settings: processes.append(popen(*arguments, **settings)) or processes[-1],
    )
    return processes


def test_a_process_that_has_ended_is_noticed(started):
    """By the step, and by whoever leaves the comparison with its error."""
    with (
        pytest.raises(RuntimeError, match="has ended"),
        plain_opponent(clients=1, batch_size=2) as step,
    ):
        step()
        started[0].kill()
        started[0].wait()
        step()


def test_the_process_ends_with_the_comparison(started):
    with plain_opponent(clients=1, batch_size=2) as step:
        step()
    assert started[0].returncode == 0
    assert started[0].args[0] == sys.executable
