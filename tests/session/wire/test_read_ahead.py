import threading
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session.wire.read_ahead import read_ahead
from tests.session.threads import PATIENCE

most = st.integers(1, 4)


@given(st.lists(st.integers()), most)
def test_everything_comes_in_its_order(packets, most):
    assert list(read_ahead(iter(packets), most)) == packets


@given(st.lists(st.integers()), most)
def test_what_the_stream_raises_is_raised_in_its_turn(packets, most):
    def failing():
        yield from packets
        raise OSError("gone")

    ahead = read_ahead(failing(), most)
    assert list(islice(ahead, len(packets))) == packets
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_packets_are_taken_while_nobody_asks():
    taken = threading.Event()

    def incoming():
        yield 0
        yield 1
        taken.set()

    packets = read_ahead(incoming(), 3)
    assert next(packets) == 0
    assert taken.wait(PATIENCE)
    assert list(packets) == [1]


@given(st.integers(0, 20), most)
def test_no_more_than_so_many_are_taken_ahead(asked, most):
    received = []

    def incoming():
        for number in range(asked):
            # The one that is being handed over is neither ahead nor received.
            assert number <= len(received) + most
            yield number

    for packet in read_ahead(incoming(), most):
        received.append(packet)
    assert received == list(range(asked))


@given(st.integers(1, 5), most)
def test_who_stops_asking_leaves_no_thread_behind(asked, most):
    readers = []

    def incoming():
        readers.append(threading.current_thread())
        yield from count()

    packets = read_ahead(incoming(), most)
    assert list(islice(packets, asked)) == list(range(asked))
    packets.close()
    readers[0].join(PATIENCE)
    assert not readers[0].is_alive()
