import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session import Kind, PackedForm, Role, WireType, wire_type

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
    assert not crossed(HALF, numbers).isfinite().all()


@given(st.lists(st.floats(-(2.0**1023), 2.0**1023), min_size=1))
def test_any_float64_crosses_in_float16(numbers):
    (received,) = WireType(torch.float16, torch.float64).crossed(
        (torch.tensor(numbers, dtype=torch.float64),)
    )
    assert received.dtype == torch.float64
    assert received.isfinite().all()


PACKED = {preset: wire_type(preset, torch.float64) for preset in ("small", "smallest")}


@pytest.mark.parametrize("preset", PACKED)
@pytest.mark.parametrize("role", get_args(Role))
def test_numbers_that_do_not_fill_a_group_are_packed_each_by_itself(preset, role):
    """32 logits in 4 bits, rotated, are as many bytes as 256: more than as they are in float32."""
    kind, wire = Kind("any", role=role), PACKED[preset]
    many = wire.form(kind, 10_000)
    group = 256 if many.rotated else 128
    assert many.bits < 16
    assert many.group == group
    assert wire.form(kind, group) == many
    assert wire.form(kind, group - 1) == PackedForm(64)
    for dtype in (torch.float32, torch.bfloat16):
        few = wire_type(preset, dtype)
        assert few.byte_count(kind, torch.zeros(32, dtype=dtype)) == 32 * dtype.itemsize


@pytest.mark.parametrize("preset", PACKED)
def test_numbers_of_which_nothing_is_said_are_not_rounded_and_integers_not_touched(preset):
    """A new method's gradients would else be rounded as activations are, and be wrong on average."""
    assert PACKED[preset].form(Kind("any"), 10_000) == PackedForm(64)
    assert PACKED[preset].form(Kind("any", torch.int64), 10_000) is None
