import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session import EmulatedDevice, EmulatedTimer, Exchange, Kind, WireType
from tests.session.clock import Clock, SlowChannel

FRAME = (torch.zeros(2, 5), torch.zeros(3))  # 13 numbers, 52 bytes
ANSWER = (torch.zeros(25),)  # 100 bytes
STEP = Exchange(1, "STEP", up=(Kind("one"), Kind("other")), down=(Kind("answer"),))
seconds = st.floats(0, 10)
devices = st.builds(EmulatedDevice, st.floats(1, 50), st.floats(0, 0.1), st.floats(0, 0.1))


def run(emulated, computed, exchanges=2, serving=3.0):
    """Some exchanges, each after every client has computed; return the timer, the channel and the clock."""
    clock = Clock()
    timer = EmulatedTimer(emulated, clock, clock.sleep)
    channel = SlowChannel(clock, serving, ANSWER)
    for _ in range(exchanges):
        for client, real in computed.items():
            with timer.computing(client):
                clock.now += real
            timer.send(channel, STEP, client, FRAME)
        for _ in computed:
            timer.receive(channel, STEP)
    return timer, channel, clock


@given(devices, seconds)
def test_a_device_computes_longer_and_its_bytes_wait_for_its_link(device, real):
    timer, channel, _ = run({0: device}, {0: real})
    compute, up, down = (
        device.stretch * real,
        52 * device.upload_s_per_byte,
        100 * device.download_s_per_byte,
    )
    first, second = channel.sent_at
    assert first == pytest.approx(100 + compute + up)
    assert second == pytest.approx(first + 3 + down + compute + up)
    (times,) = timer.times().values()
    assert times.compute_s == pytest.approx(2 * compute)
    assert times.exchange_s == pytest.approx(2 * (3 + up + down))


@given(devices, devices, seconds, seconds)
def test_clients_of_a_host_seem_to_compute_side_by_side(one, other, real, others_real):
    """The host waits for the slowest; only if it is slower itself, one after the other, does that show."""
    _, channel, _ = run({0: one, 1: other}, {0: real, 1: others_real}, exchanges=1)
    alone = [
        run({0: device}, {0: own}, exchanges=1)[1].sent_at[0]
        for device, own in ((one, real), (other, others_real))
    ]
    assert channel.sent_at == pytest.approx([max(*alone, 100 + real + others_real)] * 2)


def test_clients_of_a_host_seem_to_get_their_answers_side_by_side():
    clock = Clock()
    timer, channel = EmulatedTimer({}, clock, clock.sleep), SlowChannel(clock, 3.0, ANSWER)
    for client in (0, 1):
        timer.send(channel, STEP, client, FRAME)
    first = timer.receive(channel, STEP)
    assert channel.answered == []
    assert [first, timer.receive(channel, STEP)] == [(0, ANSWER), (1, ANSWER)]


def test_clients_without_a_device_are_as_fast_as_this_machine():
    timer, channel, clock = run({}, {0: 2.0})
    assert timer.times()[0].compute_s == pytest.approx(4.0)
    assert channel.sent_at == [102.0, 107.0]
    assert clock.slept == []


def test_a_link_carries_what_is_sent_not_what_is_computed():
    clock = Clock()
    timer = EmulatedTimer(
        {0: EmulatedDevice(1.0, 0.5, 0.25)}, clock, clock.sleep, WireType(torch.float16, torch.float32)
    )
    channel = SlowChannel(clock, 0.0, ANSWER)
    for _ in range(2):
        with timer.computing(0):
            pass
        timer.send(channel, STEP, 0, FRAME)
        timer.receive(channel, STEP)
    assert channel.sent_at == [113.0, 113.0 + 12.5 + 13.0]


def test_a_device_takes_its_time_for_every_number_that_it_packs_and_unpacks_and_none_for_integers():
    clock = Clock()
    timer = EmulatedTimer({0: EmulatedDevice(1.0, 0.0, 0.0, packing_s=0.25)}, clock, clock.sleep)
    channel = SlowChannel(clock, 0.0, (torch.zeros(4, dtype=torch.int64), torch.zeros(6)))
    step = Exchange(1, "STEP", up=STEP.up, down=(Kind("labels", torch.int64), Kind("answer")))
    for _ in range(2):
        with timer.computing(0):
            pass
        timer.send(channel, step, 0, FRAME)
        timer.receive(channel, step)
    up, down = 13 * 0.25, 6 * 0.25
    assert channel.sent_at == [100 + up, 100 + up + down + up]
    assert timer.times()[0].exchange_s == pytest.approx(2 * (up + down))


def test_a_frame_is_under_way_for_the_delay_of_its_link_each_way():
    device = EmulatedDevice(1.0, 0.0, 0.0, delay_s=0.5)
    timer, channel, _ = run({0: device}, {0: 2.0})
    assert channel.sent_at == [102.5, 102.5 + 3.0 + 0.5 + 2.0 + 0.5]
    assert timer.times()[0].compute_s == pytest.approx(4.0)
