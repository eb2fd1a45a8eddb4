import pytest

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import ClientTimes, HostTimer, LocalChannel, run_steps
from huscf_flwr.split import GENERATE, HostedClient
from tests.models.specs import small_specs
from tests.session.clock import Clock, SlowChannel
from tests.split.builders import DOUBLE, build, open_session, random_batch

SPEC = small_specs()["three-blocks"]
CUT = legal_cuts(SPEC)[0]


def test_clients_are_timed_apart_and_their_exchanges_together():
    clock = Clock()
    timer, channel = HostTimer(clock), SlowChannel(clock, 5.0)
    for client, seconds in ((0, 1.0), (1, 2.0), (0, 3.0)):
        with timer.computing(client):
            clock.now += seconds
        clock.now += 7.0  # what is neither is not counted
        timer.send(channel, GENERATE, client, ())
        timer.receive(channel, GENERATE)
    assert timer.times() == {0: ClientTimes(4.0, 15.0), 1: ClientTimes(2.0, 15.0)}


def test_what_comes_while_another_client_computes_costs_no_time():
    clock = Clock()
    timer, channel = HostTimer(clock), SlowChannel(clock, 5.0)
    for client in (0, 1):
        timer.send(channel, GENERATE, client, ())
    for seconds in (1.0, 2.0):
        client, _ = timer.receive(channel, GENERATE)
        with timer.computing(client):
            clock.now += seconds
    assert timer.times() == {0: ClientTimes(1.0, 5.0), 1: ClientTimes(2.0, 5.0)}


def test_a_device_that_goes_on_alone_is_waited_for():
    clock = Clock()

    def settle():
        clock.now += 10.0

    timer = HostTimer(clock, settle)
    with timer.computing(0):
        clock.now += 1.0
    assert timer.times() == {0: ClientTimes(11.0, 0.0)}


def test_computation_that_fails_raises_what_it_raised():
    with pytest.raises(MemoryError), HostTimer().computing(0):
        raise MemoryError


class CountedTime(HostTimer):
    """Counts how often each client computes between exchanges."""

    def __init__(self):
        super().__init__()
        self.counted = []

    def _computed(self, client, seconds):
        assert seconds >= 0
        self.counted.append(client)
        super()._computed(client, seconds)


def test_a_step_times_each_client_before_between_and_after_its_exchanges():
    executor, clients = build(SPEC, {0: CUT, 1: CUT})
    session = open_session(executor, [[0, 1]], steps=2)
    members = [HostedClient(each, lambda: random_batch(SPEC, 2, 0, DOUBLE)) for each in clients]
    timer = CountedTime()
    run_steps(members, LocalChannel(session), 2, timer)
    assert timer.counted == [0, 1] * 7 * 2
    for times in timer.times().values():
        # Nothing travels in a local channel: all of an exchange is spent at the server.
        assert 0 < session.served_s <= session.waited[0] <= times.exchange_s
