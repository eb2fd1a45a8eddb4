import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session import WireType

HALF = WireType(torch.float16, torch.float32)
MOST = 2.0**127
"""Half of what float32 holds: rounding up the very largest number would leave the type itself."""
floats = st.floats(-MOST, MOST, width=32)


def crossed(wire, numbers):
    (received,) = wire.crossed((torch.tensor(numbers),))
    return received


@given(st.lists(st.floats(width=32), min_size=1))
def test_what_crosses_as_computed_is_the_same_tensor(numbers):
    tensor = torch.tensor(numbers)
    for wire in (WireType(), WireType(None, torch.float64)):
        assert wire.crossed((tensor,))[0] is tensor


@given(st.lists(floats, min_size=1, max_size=8))
def test_float16_neither_overflows_nor_vanishes(numbers):
    """Whatever the size of the largest number, all those near it keep eleven bits."""
    received = crossed(HALF, numbers)
    assert received.dtype == torch.float32
    assert received.isfinite().all()
    largest = max(abs(number) for number in numbers)
    for number, arrived in zip(numbers, received.tolist(), strict=True):
        rounding = max(abs(number) * 2.0**-11, largest * 2.0**-39, 2.0**-149)
        assert abs(arrived - number) <= rounding, (number, arrived)


@given(st.lists(st.integers(-(2**11), 2**11), min_size=1), st.integers(-40, 80))
def test_scaling_itself_rounds_nothing(integers, exponent):
    """Numbers of eleven bits arrive as they were, however large or small all of them are."""
    numbers = [math.ldexp(integer, exponent) for integer in integers]
    assert crossed(HALF, numbers).tolist() == numbers


@given(st.lists(floats, min_size=1), st.sampled_from([math.inf, -math.inf, math.nan]), st.data())
def test_what_is_not_finite_arrives_as_that(numbers, bad, data):
    """Or a run that has diverged would go on."""
    numbers.insert(data.draw(st.integers(0, len(numbers))), bad)
    for sent in (torch.float16, torch.bfloat16):
        assert not crossed(WireType(sent, torch.float32), numbers).isfinite().all()


@given(st.lists(st.floats(-(2.0**1023), 2.0**1023), min_size=1))
def test_any_float64_crosses_in_float16(numbers):
    (received,) = WireType(torch.float16, torch.float64).crossed(
        (torch.tensor(numbers, dtype=torch.float64),)
    )
    assert received.dtype == torch.float64
    assert received.isfinite().all()


@given(st.lists(floats, min_size=1))
def test_bfloat16_and_narrower_floats_are_rounded_as_torch_does(numbers):
    tensor = torch.tensor(numbers, dtype=torch.float64)
    for sent in (torch.bfloat16, torch.float32):
        assert torch.equal(
            WireType(sent, torch.float64).crossed((tensor,))[0], tensor.to(sent).to(torch.float64)
        )
