import threading
from concurrent.futures import ThreadPoolExecutor

from huscf_flwr.session.wire import Rendezvous

NEVER = 3600.0


def arrive_together(rendezvous, hosts):
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(rendezvous.arrive, hosts, timeout=30))


def test_all_come_and_none_waits_for_the_window():
    rendezvous = Rendezvous(3, NEVER)
    assert arrive_together(rendezvous, ["a", "b", "c"]) == [True] * 3


def test_one_alone_need_not_wait():
    assert Rendezvous(1, NEVER).arrive("a")


def test_the_window_ends_for_those_who_came_and_a_late_comer_returns_at_once():
    rendezvous = Rendezvous(3, 0.05)
    assert arrive_together(rendezvous, ["a", "b"]) == [True, True]
    assert not rendezvous.arrive("c")


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
        thread.join(30)
