"""A link with a rate and a delay between hosts and the executor: a TCP relay in a process of its own.

The kernel can do this better (``tc qdisc ... netem``), but not every kernel has it, and it needs an
administrator. The relay passes on the bytes of every connection, in both directions, each byte when it would
have come out of the link. It sees bytes, not packets: there is no loss, no jitter and no header, and what the
systems at both ends keep in their buffers has not been on the link yet.

``python -m huscf_flwr.bench.relay`` reads what it is to do as one line of JSON, prints its port, and ends
when its input does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

_BYTES_AT_ONCE = 16 * 1024
_BYTES_PER_MBIT = 1e6 / 8
_ANY_PORT = 0
_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Link:
    """What lies between hosts and the executor."""

    mbit_per_s: float
    """Each way, in 1e6 bit per second."""
    delay_ms: float
    """Of every byte, each way, in 1e-3 seconds."""
    is_shared: bool = True
    """Whether all hosts have one link together; otherwise each has one like it."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a link that there cannot be."""
        if self.mbit_per_s <= 0 or self.delay_ms < 0:
            raise ValueError(
                f"a link of {self.mbit_per_s:g} Mbit/s and {self.delay_ms:g} ms: give a rate above zero and "
                "a delay from zero"
            )


class OneWay:
    """One direction of a link: when bytes leave at its end that are put in at some time.

    They go through it one after the other, at its rate, and are then under way for its delay.
    """

    def __init__(self, bytes_per_s: float, delay_s: float) -> None:
        """Begin with a link on which nothing is."""
        self._bytes_per_s = bytes_per_s
        self._delay_s = delay_s
        self._free_at = -float("inf")

    def put(self, count: int, now: float) -> tuple[float, float]:
        """Put ``count`` bytes in at ``now``; return when the last is in, and when it is out.

        ``now`` must not be before that of an earlier call.
        """
        self._free_at = max(self._free_at, now) + count / self._bytes_per_s
        return self._free_at, self._free_at + self._delay_s


@contextmanager
def relayed(address: str, link: Link) -> Iterator[str]:
    """Yield the address of a relay in front of the TCP server at ``address`` (``host:port``), until the end.

    Raises ``RuntimeError`` if it does not start.
    """
    order = json.dumps({"address": address, "link": asdict(link)})
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the relay in front of {address} did not start; its error stands above")
        try:
            yield f"{_HERE}:{port}"
        finally:
            process.stdin.close()
            process.wait()


async def relay(
    address: str, link: Link, reader: asyncio.StreamReader, listening: Callable[[int], None]
) -> None:
    """Relay connections to ``address`` until ``reader`` ends; ``listening`` is told the port to come to."""
    host, _, port = address.rpartition(":")
    bytes_per_s, delay_s = link.mbit_per_s * _BYTES_PER_MBIT, link.delay_ms / 1e3
    of_all = OneWay(bytes_per_s, delay_s), OneWay(bytes_per_s, delay_s)

    async def connected(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        up, down = of_all if link.is_shared else (OneWay(bytes_per_s, delay_s), OneWay(bytes_per_s, delay_s))
        far, to_far = await asyncio.open_connection(host, int(port), limit=_BYTES_AT_ONCE)
        await asyncio.gather(_carry(near, to_far, up), _carry(far, to_near, down))

    server = await asyncio.start_server(connected, _HERE, _ANY_PORT, limit=_BYTES_AT_ONCE)
    async with server:
        listening(server.sockets[0].getsockname()[1])
        await reader.read()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, way: OneWay) -> None:
    """Carry one direction of a connection; no more is read than the link has taken."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    arriving = asyncio.create_task(_arrive(under_way, target))
    while piece := await _read(source):
        is_in, is_out = way.put(len(piece), clock())
        under_way.put_nowait((is_out, piece))
        await asyncio.sleep(is_in - clock())
    under_way.put_nowait((clock(), b""))
    await arriving


async def _arrive(under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    """Write every piece when it is out of the link; an empty one is the end."""
    clock = asyncio.get_running_loop().time
    try:
        while True:
            is_out, piece = await under_way.get()
            await asyncio.sleep(is_out - clock())
            if not piece:
                break
            target.write(piece)
            await target.drain()
        target.write_eof()
    except OSError:  # whoever it is for has gone, and the other direction tells its sender
        target.close()


async def _read(source: asyncio.StreamReader) -> bytes:
    try:
        return await source.read(_BYTES_AT_ONCE)
    except ConnectionError:
        return b""


async def _until_the_input_ends() -> None:
    order = json.loads(sys.stdin.readline())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await relay(order["address"], Link(**order["link"]), reader, lambda port: print(port, flush=True))


if __name__ == "__main__":
    asyncio.run(_until_the_input_ends())
