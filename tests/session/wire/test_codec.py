import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.session import DropOut, FrameError, PackedForm, WireEnd, WireType, wire_type
from huscf_flwr.session.wire import codec
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire.codec import FrameReader, encode_frame
from huscf_flwr.split import CRITICISE, DISCRIMINATE, EXCHANGES, GENERATE

DTYPES = {torch.float32: 4, torch.float64: 8, torch.bfloat16: 2}
BITS = {4: torch.int32, 8: torch.int64, 2: torch.int16}


def expect_anything(client, exchange, headers):
    pass


@st.composite
def tensors(draw, dtype):
    """Any bits at all, not-a-number and the infinities among them, in any layout."""
    shape = draw(st.lists(st.integers(1, 4), max_size=5))
    stream = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    count = torch.Size(shape).numel() * DTYPES[dtype]
    tensor = torch.randint(256, (count,), generator=stream, dtype=torch.uint8).view(dtype).view(shape)
    if len(shape) == 4 and draw(st.booleans()):
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.transpose(0, -1) if len(shape) > 1 and draw(st.booleans()) else tensor


def bits(tensor):
    return tensor.contiguous().view(BITS[tensor.element_size()])


def layout(tensor):
    return tensor.is_contiguous(), tensor.dim() == 4 and tensor.is_contiguous(
        memory_format=torch.channels_last
    )


def end(wire):
    return WireEnd(wire, EXCHANGES, "up")


def packets_of(parcel, exchange=GENERATE, client=0, wire=None):
    """The packets of a frame as they arrive."""
    sent = encode_frame(exchange, client, parcel, *([end(wire)] if wire else []))
    return [messages.Packet.FromString(packet.SerializeToString()) for packet in sent]


def read(packets, wire=None, expect=expect_anything):
    reader = FrameReader(EXCHANGES, expect, *([end(wire)] if wire else []))
    *none_yet, complete = [reader.add(packet) for packet in packets]
    assert none_yet == [None] * len(none_yet)
    return complete


def packet(data=b"", client=0, exchange=1, **tensor):
    return messages.Packet(
        frame=messages.Frame(exchange=exchange, client=client, tensors=[messages.Tensor(**tensor)]), data=data
    )


@given(
    st.sampled_from(EXCHANGES),
    st.integers(0, 2**32 - 1),
    st.sampled_from(list(DTYPES)).flatmap(lambda dtype: st.lists(tensors(dtype), min_size=1, max_size=3)),
    st.sampled_from([1, 7, 16, 2**20]),
)
def test_a_frame_arrives_as_it_was_sent_in_packets_of_any_size(exchange, client, frame, most):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(codec, "PACKET_BYTES", most)
        packets = packets_of(frame, exchange, client)
    assert all(len(packet.data) <= most for packet in packets)
    assert sum(len(packet.data) for packet in packets) == sum(t.numel() * t.element_size() for t in frame)
    received_exchange, received_client, received = read(packets)
    assert (received_exchange, received_client) == (exchange, client)
    assert len(received) == len(frame)
    for before, after in zip(frame, received, strict=True):
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert torch.equal(bits(after), bits(before))
        if True in layout(before):
            assert layout(after) == layout(before)


def test_a_frame_has_one_type():
    with pytest.raises(FrameError, match="tensors of different types"):
        read(packets_of((torch.ones(1), torch.ones(1, dtype=torch.float64))))


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.integers(0, 3),
    st.sampled_from([WireType(), WireType(torch.float16, torch.float32)]),
    st.sampled_from([1, 7, 2**20]),
)
def test_integers_arrive_as_they_were_beside_numbers_of_any_size(integers, count, wire, most):
    """Wherever they begin: three numbers of two bytes end at no multiple of eight."""
    frame = (torch.ones(count), torch.tensor(integers, dtype=torch.int64), torch.ones(count))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(codec, "PACKET_BYTES", most)
        packets = packets_of(frame, wire=wire)
    received = read(packets, wire)[2]
    for before, after in zip(frame, received, strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(after, before)


def test_a_frame_may_be_empty():
    packets = packets_of((), CRITICISE, 3)
    assert [packet.data for packet in packets] == [b""]
    assert read(packets) == (CRITICISE, 3, ())


def test_large_frames_stay_below_the_limit_of_a_message():
    packets = packets_of((torch.ones(3, 700_001),))
    assert len(packets) == 9
    assert all(packet.ByteSize() <= codec.MESSAGE_BYTES for packet in packets)


@given(st.text(max_size=600))
def test_a_drop_out_arrives_with_its_reason(reason):
    exchange, client, parcel = read(packets_of(DropOut(reason), CRITICISE, 3))
    assert (exchange, client) == (CRITICISE, 3)
    assert parcel == DropOut(reason[:500] or "no reason given")


def test_what_arrives_can_be_written_to():
    (tensor,) = read(packets_of((torch.ones(2),)))[2]
    tensor += 1
    assert tensor.tolist() == [2, 2]


@pytest.mark.parametrize(
    "dtype", [torch.int32, torch.int8, torch.uint8, torch.bool, torch.float16, torch.cfloat]
)
def test_other_types_may_not_cross(dtype):
    with pytest.raises(
        FrameError, match=f"{dtype} may not cross; allowed: float32, float64, bfloat16, int64"
    ):
        packets_of((torch.zeros(2, dtype=dtype),))
    with pytest.raises(FrameError, match="may not cross"):
        read([packet(b"\0" * 8, dtype=str(dtype).removeprefix("torch."), shape=[2])])


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        ([packet(b"1234", dtype="", shape=[1])], "type '' may not cross"),
        ([packet(b"12345", dtype="float32", shape=[1])], "5 bytes are not due"),
        ([packet(b"1", dtype="float32", shape=[0])], "1 bytes are not due"),
        ([packet(dtype="float32", shape=[1])], "0 bytes are not due"),
        ([packet(b"12", dtype="float32", shape=[1]), messages.Packet(data=b"345")], "3 bytes are not due"),
        ([packet(b"12", dtype="float32", shape=[1]), messages.Packet()], "0 bytes are not due"),
        ([packet(b"12", dtype="float32", shape=[1])] * 2, "a frame begins before the last one is complete"),
        ([messages.Packet(data=b"1234")], "numbers came without a frame"),
        ([messages.Packet()], "numbers came without a frame"),
        ([packet(b"1234", dtype="float32", shape=[1], channels_last=True)], "no channels to come last"),
        ([packet(b"1234", dtype="float32", shape=[2**32 - 1] * 2)], "client 0, GENERATE: 73786976260"),
        ([packet(b"1234", dtype="float32", shape=[1] * 9)], "GENERATE: a tensor may have 8 axes at most"),
    ],
)
def test_packets_that_are_no_frame_are_refused(packets, message):
    with pytest.raises(FrameError, match=message):
        read(packets)


def test_nothing_is_set_aside_for_a_frame_that_is_not_expected():
    """The numbers of this one would take 64 EiB."""

    def expect(client, exchange, headers):
        assert (client, exchange) == (5, DISCRIMINATE)
        assert [(header.dtype, header.shape) for header in headers] == [(torch.float32, (2**31, 2**31))]
        raise FrameError("not now")

    with pytest.raises(FrameError, match="not now"):
        read([packet(client=5, exchange=2, dtype="float32", shape=[2**31] * 2)], expect=expect)


def test_shapes_are_expected_as_they_are_computed_with():
    seen = []
    frame = (torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),)
    read(packets_of(frame), expect=lambda client, exchange, headers: seen.extend(headers))
    assert seen[0].shape == (2, 3, 4, 5)


NARROW = WireType(torch.float16, torch.float32)
PACKED = wire_type("smallest")


def test_a_narrower_wire_takes_half_the_bytes_and_gives_the_type_back():
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    packets = packets_of((tensor,), wire=NARROW)
    assert sum(len(each.data) for each in packets) == 2 * tensor.numel()
    (received,) = read(packets, NARROW)[2]
    assert torch.equal(received, *NARROW.crossed((tensor,)))
    assert received.is_contiguous(memory_format=torch.channels_last)


def test_packed_numbers_take_the_bytes_that_their_form_says_and_arrive_as_they_would_in_one_process():
    tensor = torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last)
    packets = packets_of((tensor,), wire=PACKED)
    assert PACKED.form(GENERATE.up[0], 150) == PackedForm(3)
    assert sum(len(each.data) for each in packets) == PackedForm(3).byte_count(150)
    (received,) = read(packets, PACKED)[2]
    assert torch.equal(received, *end(PACKED).crossed(GENERATE, 0, (tensor,)))
    assert received.is_contiguous(memory_format=torch.channels_last)


def test_what_packed_numbers_unpack_to_is_bounded_as_well():
    """In 3 bits these would be 3.5 GB, within the bound; in float32 they are twice what it allows."""
    with pytest.raises(FrameError, match="GENERATE: 34359738368 bytes are too many"):
        read([packet(b"1234", dtype="packed", shape=[2**33 // 2**20, 2**20])], PACKED)


def test_many_axes_are_refused_before_their_product_is_taken(monkeypatch):
    monkeypatch.setattr(codec.math, "prod", lambda shape: pytest.fail("multiplied out"))
    with pytest.raises(FrameError, match="8 axes at most"):
        read([packet(b"1234", dtype="packed", shape=[2**32 - 1] * 20_000)], PACKED)


def test_only_packed_numbers_are_taken_where_they_are_due():
    for dtype in ("float32", "float16", "int64"):
        with pytest.raises(FrameError, match=f"type '{dtype}' may not cross; allowed: packed"):
            read([packet(b"12345678", dtype=dtype, shape=[1])], PACKED)
    with pytest.raises(FrameError, match="type 'packed' may not cross"):
        read([packet(b"12345678", dtype="packed", shape=[1])], NARROW)


def test_a_difference_to_what_has_not_come_is_refused():
    data = bytes(PACKED.form(CRITICISE.up[0], 600).byte_count(600))
    with pytest.raises(FrameError, match=r"fake head output: shape \(2, 300\), but what .* None"):
        read([packet(data, exchange=CRITICISE.number, dtype="packed", shape=[2, 300])], PACKED)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_only_the_agreed_type_is_taken(dtype):
    with pytest.raises(FrameError, match=f"type '{dtype}' may not cross; allowed: float16, int64"):
        read([packet(b"12345678", dtype=dtype, shape=[1])], NARROW)


@pytest.mark.parametrize(
    ("dtype", "exponent", "wire"),
    [("float16", 1023, NARROW), ("float16", -(2**31), NARROW), ("float32", 1, WireType())],
)
def test_an_exponent_that_nobody_sends_is_refused(dtype, exponent, wire):
    with pytest.raises(FrameError, match=f"exponent {exponent} of a tensor of {dtype}"):
        read([packet(b"1234", dtype=dtype, shape=[2], exponent=exponent)], wire)


@given(st.integers(0, 2**32 - 1).filter(lambda number: not 1 <= number <= 6))
def test_there_are_six_exchanges(number):
    with pytest.raises(FrameError, match=f"there is no exchange {number}"):
        read([messages.Packet(frame=messages.Frame(exchange=number))])


TENSORS = st.builds(
    messages.Tensor,
    dtype=st.sampled_from(["float32", "float64", "bfloat16", "float16", "int64", "packed", "packed", ""]),
    exponent=st.integers(-(2**31), 2**31 - 1) | st.just(0),
    shape=st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), max_size=5),
    channels_last=st.booleans(),
)
FRAMES = st.builds(
    messages.Frame,
    exchange=st.integers(0, 8),
    client=st.integers(0, 3),
    tensors=st.lists(TENSORS, max_size=3),
    drop_out=st.sampled_from(["", "", "tired"]),
)
PACKETS = st.builds(messages.Packet, frame=st.none() | FRAMES, data=st.binary(max_size=64))


@settings(max_examples=400)
@given(st.lists(PACKETS, max_size=4), st.sampled_from([WireType(), NARROW, PACKED]))
def test_any_packets_are_frames_or_a_frame_error(packets, wire):
    """What is not refused has the numbers that came, and no more memory than they need."""
    most = 2**16

    def expect(client, exchange, headers):
        if sum(math.prod(header.shape) for header in headers) > most:
            raise FrameError("too large")

    reader = FrameReader(EXCHANGES, expect, end(wire))
    for each in packets:
        try:
            complete = reader.add(each)
        except FrameError:
            return
        if complete is not None and not isinstance(complete[2], DropOut):
            assert all(tensor.dtype in {*DTYPES, torch.int64} for tensor in complete[2])
