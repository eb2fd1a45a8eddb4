import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.split import Exchange, FrameError, WireType
from huscf_flwr.split.wire import split_session_pb2 as messages
from huscf_flwr.split.wire.codec import decode_frame, decode_tensor, encode_frame, encode_tensor

DTYPES = {torch.float32: 4, torch.float64: 8, torch.bfloat16: 2}
BITS = {4: torch.int32, 8: torch.int64, 2: torch.int16}


@st.composite
def tensors(draw):
    """Any bits at all, not-a-number and the infinities among them, in any layout."""
    dtype = draw(st.sampled_from(list(DTYPES)))
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


@given(st.sampled_from(Exchange), st.integers(0, 2**32 - 1), st.lists(tensors(), max_size=3).map(tuple))
def test_a_frame_arrives_as_it_was_sent(exchange, client, frame):
    sent = encode_frame(exchange, client, frame).SerializeToString()
    received_exchange, received_client, received = decode_frame(messages.Frame.FromString(sent))
    assert (received_exchange, received_client) == (exchange, client)
    assert len(received) == len(frame)
    for before, after in zip(frame, received, strict=True):
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert torch.equal(bits(after), bits(before))
        if True in layout(before):
            assert layout(after) == layout(before)


@given(tensors())
def test_data_is_no_longer_than_its_numbers(tensor):
    assert len(encode_tensor(tensor).data) == tensor.numel() * tensor.element_size()


def test_what_arrives_can_be_written_to():
    tensor = decode_tensor(encode_tensor(torch.ones(2)))
    tensor += 1
    assert tensor.tolist() == [2, 2]


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.float16, torch.cfloat]
)
def test_other_types_may_not_cross(dtype):
    with pytest.raises(FrameError, match=f"{dtype} may not cross; allowed: float32, float64, bfloat16"):
        encode_tensor(torch.zeros(2, dtype=dtype))
    with pytest.raises(FrameError, match="may not cross"):
        decode_tensor(messages.Tensor(dtype=str(dtype).removeprefix("torch."), shape=[2], data=b"\0" * 8))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": "", "shape": [1], "data": b"1234"}, "type '' may not cross"),
        ({"dtype": "float32"}, None),
        ({"dtype": "float32", "shape": [0]}, r"0 bytes for \(0,\) of float32"),
        ({"dtype": "float32", "shape": [2], "data": b"1234"}, r"4 bytes for \(2,\) of float32, not 8"),
        ({"dtype": "float32", "shape": [1], "data": b"12345"}, r"5 bytes for \(1,\) of float32, not 4"),
        ({"dtype": "float64", "shape": [1], "data": b"1234"}, "4 bytes"),
        ({"dtype": "float32", "shape": [2**32 - 1] * 4, "data": b"1234"}, "4 bytes"),
        ({"dtype": "float32", "shape": [2**31, 2**31, 4], "data": b""}, "0 bytes"),
        ({"dtype": "float32", "shape": [1], "channels_last": True, "data": b"1234"}, "no channels"),
    ],
)
def test_tensors_that_do_not_agree_with_themselves_are_refused(fields, message):
    with pytest.raises(FrameError, match=message):
        decode_tensor(messages.Tensor(**fields))


NARROW = WireType(torch.float16, torch.float32)


@pytest.mark.parametrize("sent", [torch.float16, torch.bfloat16])
def test_a_narrower_wire_takes_half_the_bytes_and_gives_the_type_back(sent):
    wire = WireType(sent, torch.float32)
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    message = encode_tensor(tensor, wire)
    assert len(message.data) == 2 * tensor.numel()
    received = decode_tensor(message, wire)
    assert torch.equal(received, *wire.crossed((tensor,)))
    assert received.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_only_the_agreed_type_is_taken(dtype):
    with pytest.raises(FrameError, match=f"type '{dtype}' may not cross; allowed: float16"):
        decode_tensor(messages.Tensor(dtype=dtype, shape=[1], data=b"12345678"), NARROW)


@pytest.mark.parametrize(
    ("dtype", "exponent", "wire"),
    [("float16", 1023, NARROW), ("float16", -(2**31), NARROW), ("float32", 1, WireType())],
)
def test_an_exponent_that_nobody_sends_is_refused(dtype, exponent, wire):
    message = messages.Tensor(dtype=dtype, shape=[2], data=b"12345678"[:4], exponent=exponent)
    with pytest.raises(FrameError, match=f"exponent {exponent} of a tensor of {dtype}"):
        decode_tensor(message, wire)


@given(st.integers(0, 2**32 - 1).filter(lambda number: not 1 <= number <= 6))
def test_there_are_six_exchanges(number):
    with pytest.raises(FrameError, match=f"there is no exchange {number}"):
        decode_frame(messages.Frame(exchange=number))


@given(
    st.builds(
        messages.Tensor,
        dtype=st.sampled_from(["float32", "float64", "bfloat16", "float16", "int64", ""]),
        exponent=st.integers(-(2**31), 2**31 - 1) | st.just(0),
        shape=st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), max_size=5),
        channels_last=st.booleans(),
        data=st.binary(max_size=64),
    ),
    st.sampled_from([WireType(), NARROW]),
)
def test_any_message_is_a_tensor_or_a_frame_error(message, wire):
    try:
        tensor = decode_tensor(message, wire)
    except FrameError:
        return
    assert wire.byte_count(tensor) == len(message.data)
