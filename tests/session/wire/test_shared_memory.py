import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import FrameError, SessionError, WireEnd, WireType, run_steps
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel, server, shared_memory
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire.codec import FrameReader, encode_frame
from huscf_flwr.session.wire.shared_memory import MemoryOffer, offer_memory, room_for, take_memory
from huscf_flwr.split import CRITICISE, DISCRIMINATE, EXCHANGES, GENERATE, HostedClient
from tests.models.specs import small_specs
from tests.session.threads import errors_of
from tests.split.builders import build, exchanged, open_session, random_batch

SPEC = small_specs()["three-blocks"]
CUT = legal_cuts(SPEC)[0]
STEPS = 3

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux shares memory without a name")


def pair(up=4096, down=4096):
    """Both ends of what an executor offers."""
    offer = MemoryOffer(up, down)
    host = take_memory(str(offer))
    assert host is not None
    return offer, host


def frames_of(shapes, dtype, channels_last):
    stream = torch.Generator().manual_seed(0)
    frame = tuple(torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype) for shape in shapes)
    if channels_last:
        return tuple(t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in frame)
    return frame


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    st.booleans(),
    st.sampled_from([None, torch.float16]),
)
def test_a_frame_arrives_by_memory_as_by_the_stream(shapes, dtype, channels_last, sent):
    offer, (up, _) = pair(2**15, 0)
    wire = WireType(sent, dtype)
    frame = frames_of(shapes, dtype, channels_last)
    end = WireEnd(wire, EXCHANGES, "up")
    by_memory, by_stream = (list(encode_frame(CRITICISE, 3, frame, end, region)) for region in (up, None))
    assert [packet.data for packet in by_memory] == [b""]
    received, expected = (
        FrameReader(EXCHANGES, lambda *_: None, end, region).add(
            messages.Packet.FromString(packet.SerializeToString())
        )
        for (packet,), region in ((by_memory, offer.up), (by_stream, None))
    )
    assert received[:2] == expected[:2] == (CRITICISE, 3)
    for tensor, other in zip(received[2], expected[2], strict=True):
        assert torch.equal(tensor, other)
        assert tensor.dtype == other.dtype
        assert tensor.stride() == other.stride()
    offer.close()


def test_frames_of_a_step_lie_beside_each_other_and_the_next_step_takes_their_place():
    offer, (up, _) = pair()
    first = up.write(GENERATE, 0, [torch.full((10,), 1.0)])
    second = up.write(GENERATE, 1, [torch.full((10,), 2.0)])
    third = up.write(DISCRIMINATE, 0, [torch.full((3,), 3.0), torch.full((4,), 4.0)])
    assert (first, second, third) == (0, 64, 128)
    kept = offer.up.read(third, [12, 16])
    assert [part.view(torch.float32).tolist() for part in kept] == [[3.0] * 3, [4.0] * 4]
    assert up.write(GENERATE, 0, [torch.full((10,), 5.0)]) == 0
    assert offer.up.read(0, [40])[0].view(torch.float32).tolist() == [5.0] * 10
    assert offer.up.read(64, [40])[0].view(torch.float32).tolist() == [2.0] * 10
    offer.close()


def places(up, *written):
    """Where frames of sixteen numbers are put, each of an exchange and a client."""
    return [up.write(EXCHANGES[number - 1], client, [torch.ones(16)]) for number, client in written]


def test_a_step_with_a_single_exchange_begins_with_every_second_frame_of_a_client():
    offer, (up, _) = pair()
    assert places(up, (1, 4), (1, 7), (1, 4), (1, 7), (1, 7)) == [0, 64, 0, 64, 0]
    offer.close()


def test_where_some_frames_go_by_the_stream_no_frame_of_the_same_step_is_overwritten():
    """The first of these steps has no second exchange here, the third no first, and client 7 drops out."""
    offer, (up, _) = pair()
    steps = [(1, 4), (1, 7)], [(1, 4), (1, 7), (2, 4), (2, 7)], [(2, 4)], [(1, 4), (2, 4)]
    for step in steps:
        found = places(up, *step)
        assert len(set(found)) == len(found)
        assert found == sorted(found)
    offer.close()


def test_a_frame_without_tensors_has_a_place_too():
    offer, (up, _) = pair(64, 0)
    assert up.write(GENERATE, 0, []) == 0
    assert up.write(DISCRIMINATE, 0, [torch.ones(16)]) == 0
    assert offer.up.read(64, []) == []
    with pytest.raises(FrameError, match="in shared memory"):
        offer.up.read(128, [])
    assert offer.down.read(0, []) == []
    offer.close()


def test_a_frame_that_finds_no_room_goes_by_the_stream():
    offer, (up, _) = pair(128, 64)
    large, small = torch.ones(17), torch.ones(16)
    packets = [next(encode_frame(GENERATE, k, (t,), region=up)) for k, t in enumerate((small, large, small))]
    assert [packet.frame.HasField("place") for packet in packets] == [True, False, True]
    assert len(packets[1].data) == 68
    offer.close()


@pytest.mark.parametrize(("place", "sizes"), [(0, [129]), (64, [65]), (3, [4]), (2**63, [4]), (64, [32, 1])])
def test_what_lies_outside_is_refused(place, sizes):
    offer, _ = pair(128, 64)
    with pytest.raises(FrameError, match="in shared memory"):
        offer.up.read(place, sizes)
    offer.close()


def test_a_place_without_memory_is_refused():
    tensor = messages.Tensor(dtype="float32", shape=[1])
    packet = messages.Packet(frame=messages.Frame(exchange=1, client=2, tensors=[tensor], place=0))
    with pytest.raises(FrameError, match="client 2, GENERATE: there is no shared memory"):
        FrameReader(EXCHANGES, lambda *_: None).add(packet)


@pytest.mark.parametrize(
    "offer", ["", "1:2", "1:2:huscf-x:3:4", "/etc/passwd", "-1:2:huscf-" + 32 * "0" + ":1:1"]
)
def test_what_is_no_offer_is_not_taken(offer):
    assert take_memory(offer) is None


def test_another_file_is_never_opened(tmp_path, monkeypatch):
    """On another machine the same process and file number mean something else."""
    opened = []
    monkeypatch.setattr(shared_memory.os, "open", lambda *arguments: opened.append(arguments))
    file = (tmp_path / "private").open("w+")
    offer = MemoryOffer(64, 64)
    process, _, name, *sizes = str(offer).split(":")
    for number in (str(file.fileno()), "999999"):
        assert take_memory(":".join([process, number, name, *sizes])) is None
    assert take_memory(str(offer).replace(name, "huscf-" + 32 * "0")) is None
    assert opened == []
    offer.close()
    assert take_memory(str(offer)) is None


def test_more_than_there_is_is_not_taken():
    offer = MemoryOffer(64, 64)
    assert take_memory(str(offer).removesuffix("64") + "8192000") is None
    offer.close()


def test_memory_that_cannot_be_had_is_not_offered(monkeypatch):
    assert offer_memory([2**50], []) is None
    assert offer_memory([], []) is None
    monkeypatch.setattr(shared_memory, "_available_bytes", lambda: 2**60)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared_memory.os, "posix_fallocate", full)
    assert offer_memory([2**20], [2**20]) is None
    assert nothing_is_left()


@given(st.lists(st.integers(0, 1000)))
def test_there_is_room_for_every_tensor_at_a_multiple_of_64(sizes):
    assert room_for(sizes) % 64 == 0
    assert sum(sizes) <= room_for(sizes) < sum(sizes) + 64 * max(1, len(sizes))


class Recorded:
    """A session of two hosts that train; remembers the packets of the hosts."""

    def __init__(self, *, offered, taken, largest_batch=4):
        executor, clients = build(SPEC, dict.fromkeys(range(3), CUT))
        self.session = open_session(executor, [[0, 1], [2]], steps=STEPS, largest_batch=largest_batch)
        self.segments = [executor.segments, *(client.segments for client in clients)]
        self.packets = []
        self._hosted = {
            client.client: HostedClient(client, lambda k=client.client: random_batch(SPEC, 2 + k, k))
            for client in clients
        }
        server = ExecutorServer("127.0.0.1:0")
        tokens = server.open_session(self.session, share_memory=range(2) if offered else ())
        errors = errors_of(
            *(lambda host=host: self._run(server, tokens[host], host, taken) for host in (0, 1))
        )
        server.stop()
        assert errors == [None, None]

    def _run(self, server, token, host, taken):
        with GrpcChannel(server.address, token, share_memory=taken, exchanges=EXCHANGES) as channel:
            send = channel.send_packets

            def recording(packets):
                packets = list(packets)
                self.packets += packets
                send(packets)

            channel.send_packets = recording
            run_steps([self._hosted[client] for client in self.session.hosts[host]], channel, STEPS)

    @property
    def shared(self):
        return {packet.frame.HasField("place") for packet in self.packets if packet.HasField("frame")}

    def weights(self):
        return [
            tensor
            for segments in self.segments
            for state in segments.states().values()
            for tensor in state.values()
        ]


def nothing_is_left():
    """Whether all shared memory is closed and unmapped, as soon as gRPC's threads have let go of it."""
    for _ in range(100):
        gc.collect()
        mapped = "/memfd:huscf-" in Path("/proc/self/maps").read_text()
        if not mapped and not [name for name in open_files() if "huscf-" in name]:
            return True
        time.sleep(0.1)
    return False


def open_files():
    """What this process has open; the list itself is closed by the time that it is read."""
    for number in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(number.readlink())


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        ({"offered": True, "taken": True}, {True}),
        ({"offered": True, "taken": False}, {False}),
        ({"offered": False, "taken": True}, {False}),
        ({"offered": True, "taken": True, "largest_batch": None}, {False}),
    ],
)
def test_memory_is_shared_only_where_both_ends_want_it_and_trains_the_same(settings, shared):
    recorded = Recorded(**settings)
    assert recorded.session.finished
    assert recorded.shared == shared
    other = Recorded(offered=False, taken=False)
    for tensor, expected in zip(recorded.weights(), other.weights(), strict=True):
        assert torch.equal(tensor, expected)


def test_nothing_stays_mapped_or_open_after_a_session():
    Recorded(offered=True, taken=True)
    assert nothing_is_left()


def test_the_bytes_are_counted_as_if_they_had_gone_through_the_stream():
    ledgers = [Recorded(offered=True, taken=taken).session._ledger.entries for taken in (True, False)]
    assert ledgers[0] == ledgers[1]


def test_hosts_of_other_machines_are_offered_nothing(monkeypatch):
    peers = []
    monkeypatch.setattr(server, "is_on_this_machine", peers.append)
    recorded = Recorded(offered=True, taken=True)
    assert recorded.session.finished
    assert recorded.shared == {False}
    assert [peer.rpartition(":")[0] for peer in peers] == ["ipv4:127.0.0.1"] * 2


def test_memory_is_offered_once_for_a_token(monkeypatch):
    """Who has a token could otherwise have memory set aside again and again."""
    offers = []
    monkeypatch.setattr(server, "offer_memory", lambda *sizes: offers.append(sizes))
    executor, _ = build(SPEC, {0: CUT})
    executor_server = ExecutorServer("127.0.0.1:0")
    (token,) = executor_server.open_session(
        open_session(executor, [[0]], steps=STEPS, largest_batch=4), share_memory=[0]
    )
    streams = [
        GrpcChannel(executor_server.address, token, share_memory=True, exchanges=EXCHANGES) for _ in range(3)
    ]
    for stream in streams:
        stream.close()
    executor_server.stop()
    assert len(offers) == 1


def test_a_refused_stream_is_refused_while_it_waits_for_an_offer():
    server = ExecutorServer("127.0.0.1:0")
    with (
        pytest.raises(SessionError, match="no session for this token"),
        GrpcChannel(server.address, "nobody's", share_memory=True, exchanges=EXCHANGES) as channel,
    ):
        exchanged(channel, GENERATE, {0: (torch.zeros(1),)})
    server.stop()


KILLED = """
    import os, sys
    from huscf_flwr.session.wire.shared_memory import MemoryOffer
    offer = MemoryOffer(2**20, 2**20)
    print(offer, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_what_a_killed_executor_offered_is_gone_with_the_last_who_mapped_it():
    before = set(Path("/dev/shm").iterdir())
    executor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    offer = executor.stdout.readline().strip()
    up, down = take_memory(offer)
    executor.send_signal(signal.SIGKILL)
    executor.wait()
    assert up.write(GENERATE, 0, [torch.ones(2**18)]) == 0  # the host does not crash with it
    assert take_memory(offer) is None
    del up, down
    assert nothing_is_left()
    assert set(Path("/dev/shm").iterdir()) <= before
    executor.stdin.close()
    executor.stdout.close()
