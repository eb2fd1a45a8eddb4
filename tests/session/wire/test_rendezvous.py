import threading
from concurrent.futures import ThreadPoolExecutor

from huscf_flwr.session.wire import Rendezvous

NEVER, PATIENCE = 3600.0, 300.0


def arrive_together(rendezvous, hosts):
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(rendezvous.arrive, hosts, timeout=PATIENCE))


def test_all_come_and_none_waits_for_the_window():
    rendezvous = Rendezvous(3, NEVER)
    assert arrive_together(rendezvous, ["a", "b", "c"]) == [True] * 3


def test_one_alone_need_not_wait():
    assert Rendezvous(1, NEVER).arrive("a")


class OverWithTwo:
    """The time of a rendezvous, which is over once two hosts are there."""

    def __init__(self):
        self.rendezvous = Rendezvous(3, PATIENCE)

    def monotonic(self):
        return NEVER if len(self.rendezvous._admitted) == 2 else 0.0


def test_the_window_ends_for_those_who_came_and_a_late_comer_returns_at_once(monkeypatch):
    over = OverWithTwo()
    rendezvous = over.rendezvous
    monkeypatch.setattr("huscf_flwr.session.wire.rendezvous.time", over)
    assert arrive_together(rendezvous, ["a", "b"]) == [True, True]
    assert not rendezvous.arrive("c")


def test_the_window_ends_by_itself():
    assert Rendezvous(2, 0.05).arrive("a")


def test_nobody_is_added_after_all_have_come():
    rendezvous = Rendezvous(1, NEVER)
    assert rendezvous.arrive("a")
    assert not rendezvous.arrive("b")


def test_a_host_that_comes_twice_counts_once():
    rendezvous = Rendezvous(2, NEVER)
    admitted = []
    threads = [threading.Thread(target=lambda: admitted.append(rendezvous.arrive("a"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join(0.1)
    assert admitted == []
    assert rendezvous.arrive("b")
    for thread in threads:
        thread.join(PATIENCE)
