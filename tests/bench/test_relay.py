import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.bench.relay import Link, OneWay, relay

PIECES = st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 10)), min_size=1, max_size=20)
"""How many bytes are put in, and how long after the one before."""


@given(PIECES, st.floats(1, 1e6), st.floats(0, 10))
def test_a_link_carries_no_more_than_its_rate_and_each_byte_as_late_as_its_delay(pieces, rate, delay):
    way = OneWay(rate, delay)
    now = 0.0
    found = []
    for count, later in pieces:
        now += later
        found.append((now, count, *way.put(count, now)))
    for put_at, count, is_in, is_out in found:
        assert is_in >= put_at + count / rate * (1 - 1e-9)
        assert is_out == pytest.approx(is_in + delay)
    for (*_, before, _), (put_at, count, after, _) in itertools.pairwise(found):
        assert after == pytest.approx(max(before, put_at) + count / rate)


def test_by_hand():
    """1000 bytes a second, 0.5 s under way: the second piece waits for the first, the third for nothing."""
    way = OneWay(1000.0, 0.5)
    assert way.put(1000, 10.0) == (11.0, 11.5)
    assert way.put(500, 10.5) == (11.5, 12.0)
    assert way.put(100, 20.0) == pytest.approx((20.1, 20.6))


def echoed(pieces, link, connections=1):
    """What comes back through a relay in front of a server that sends back what it gets."""

    async def echo(reader, writer):
        while piece := await reader.read(1000):
            writer.write(piece)
        writer.write_eof()

    async def ask(address):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for piece in pieces:
            writer.write(piece)
        writer.write_eof()
        return await reader.read()

    async def run():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        port, ended = asyncio.get_running_loop().create_future(), asyncio.StreamReader()
        going = asyncio.create_task(relay(address, link, ended, port.set_result))
        there = f"127.0.0.1:{await port}"
        answers = await asyncio.gather(*(ask(there) for _ in range(connections)))
        ended.feed_eof()
        await going
        server.close()
        return answers

    return asyncio.run(run())


@pytest.mark.parametrize("is_shared", [True, False])
def test_all_that_is_sent_arrives_in_order_both_ways(is_shared):
    pieces = [bytes([number]) * 5000 for number in range(20)]
    answers = echoed(pieces, Link(1e5, 0.1, is_shared), connections=3)
    assert answers == [b"".join(pieces)] * 3


@pytest.mark.parametrize(("rate", "delay"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0)])
def test_a_link_that_there_cannot_be_is_refused(rate, delay):
    with pytest.raises(ValueError, match="rate above zero"):
        Link(rate, delay)
