import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.session.packing import (
    _NORMAL_LEVELS,
    ROTATED_GROUP,
    ROUNDED_GROUP,
    PackedForm,
    _nearest,
    _signs,
    pack,
    unpack,
)

ROUNDED = [PackedForm(bits) for bits in range(1, 9)]
ALONE = PackedForm(16)
ROTATED = [PackedForm(bits, rotated=True) for bits in range(1, 5)]
FORMS = [*ROUNDED, *ROTATED]
forms = st.sampled_from(FORMS)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def crossed(numbers, form, seed=0):
    return unpack(pack(numbers, form, stream(seed)), len(numbers), form, stream(seed))


MOST_OF_THE_SQUARE = {1: 0.9, 2: 0.25, 3: 0.08, 4: 0.03}
"""What a rotated tensor loses of its square at most, by bits; on average 0.57, 0.13, 0.035 and 0.01."""


@settings(max_examples=60)
@given(forms, st.integers(1, 700), st.integers(0, 5), st.sampled_from([1e-30, 1.0, 1e30]))
def test_as_many_bytes_as_the_form_says_and_an_error_of_the_size_of_a_level(form, count, seed, size):
    numbers = size * torch.randn(count, generator=stream(seed))
    packed = pack(numbers, form, stream(seed))
    assert (packed.dtype, packed.shape) == (torch.uint8, (form.byte_count(count),))
    error = (unpack(packed, count, form, stream(seed)) - numbers).abs() / size
    if form.rotated:
        most = MOST_OF_THE_SQUARE[form.bits] * numbers.double().div(size).square().mean()
        assert error.double().square().mean() <= most + 1e-12
        return
    for start in range(0, count, ROUNDED_GROUP):
        group = numbers[start : start + ROUNDED_GROUP] / size
        # The last group is filled up with zeros.
        low, high = min(float(group.min()), 0.0), max(float(group.max()), 0.0)
        most = (high - low + 2**-7 * abs(low)) / (2**form.bits - 1) * (1 + 2**-6) / 2
        assert error[start : start + ROUNDED_GROUP].max() <= most * (1 + 1e-5) + 1e-12


def test_bytes_worked_by_hand():
    """300 numbers: 3 groups if rounded, 4 bytes each beside levels; 2 if rotated, 2 bytes and 256 levels."""
    assert PackedForm(3).byte_count(300) == 3 * 4 + 3 * 38
    assert PackedForm(8).byte_count(300) == 3 * 4 + 304
    assert PackedForm(3, rotated=True).byte_count(300) == 2 * 2 + 3 * 512 // 8
    assert PackedForm(4).bytes_per_number == 0.5 + 4 / ROUNDED_GROUP
    assert PackedForm(1, rotated=True).bytes_per_number == 1 / 8 + 2 / ROTATED_GROUP


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_with_all_of_its_bits_a_number_stays_what_it_is(dtype):
    numbers = torch.randn(7, generator=stream(), dtype=torch.float64).to(dtype)
    exact = PackedForm(8 * dtype.itemsize)
    assert exact.byte_count(7) == len(pack(numbers, exact, stream())) == 7 * dtype.itemsize
    assert torch.equal(crossed(numbers, exact), numbers)


def test_with_sixteen_bits_each_number_is_the_nearest_bfloat16():
    numbers = torch.tensor([0.0, 1.0, -3.0, 1 + 2**-9, 1e30, math.inf, math.nan])
    assert ALONE.byte_count(7) == len(pack(numbers, ALONE, stream())) == 14
    expected = torch.tensor([0.0, 1.0, -3.0, 1.0, float(torch.tensor(1e30).bfloat16()), math.inf, math.nan])
    assert torch.equal(crossed(numbers, ALONE)[:-1], expected[:-1])
    assert crossed(numbers, ALONE)[-1].isnan()


def test_levels_worked_by_hand():
    """From 0 to 3 in 2 bits, but for the rounding of scales: what is on a level stays."""
    numbers = torch.tensor([0.0, 1.0, 2.0, 3.0] * 32)
    assert torch.allclose(crossed(numbers, PackedForm(2)), numbers, atol=0.04)
    assert crossed(numbers, PackedForm(2))[0] == 0


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_zeros_stay_zeros_and_so_do_those_of_a_rectifier_that_is_rounded(form):
    assert not crossed(torch.zeros(300), form).any()
    if not form.rotated:
        numbers = torch.randn(300, generator=stream()).relu()
        assert not crossed(numbers, form)[numbers == 0].any()


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_spoils_its_group(form, bad):
    numbers = torch.randn(300, generator=stream())
    numbers[3] = bad
    assert not crossed(numbers, form)[:ROUNDED_GROUP].isfinite().any()


@pytest.mark.parametrize("form", ROTATED, ids=str)
@pytest.mark.parametrize("first", [(1.0,), (1.0, 0.9), (1.0, 0.05), (0.3, 0.0, -1.0)], ids=str)
def test_rotated_numbers_of_which_nearly_all_are_zero_are_right_on_average(form, first):
    """Each that is not zero, from 4,000 draws: with two Hadamard matrices, the second of 1 and 0.9 is not."""
    numbers = torch.tensor(first + (0.0,) * (ROTATED_GROUP - len(first)))
    draws = [crossed(numbers.repeat(200), form, seed).view(200, -1) for seed in range(20)]
    errors = (torch.cat(draws) - numbers)[:, numbers != 0]
    # Scales are rounded, as below.
    allowed = 4 * errors.std(0) / math.sqrt(len(errors)) + 2**-9 / 10 * numbers.norm()
    assert (errors.mean(0).abs() < allowed).all()


@pytest.mark.parametrize(
    ("form", "shape"),
    list(zip(ROTATED, ["normal", "cubed", "rectified", "cubed"], strict=True)),
    ids=str,
)
def test_rotated_numbers_are_right_on_average_over_the_signs(form, shape):
    """The mean of 10,000 draws is within three standard errors: over all numbers at once, and along them."""
    numbers = torch.randn(ROTATED_GROUP, generator=stream(1))
    numbers = {"normal": numbers, "cubed": numbers**3, "rectified": numbers.relu()}[shape]
    # Signs of a tensor's groups are drawn apart, up to so many.
    draws = [crossed(numbers.repeat(200), form, seed).view(200, -1) for seed in range(50)]
    errors = torch.cat(draws) - numbers
    assert len(errors) == 10_000
    scores = errors.mean(0) / (errors.std(0) / 100)
    # Of 256 numbers with mean 0 and variance 1, the mean square is 1 with a deviation of 0.088.
    assert float(scores.square().mean()) < 1 + 3 * math.sqrt(2 / ROTATED_GROUP)
    along = errors @ numbers / numbers.square().sum()
    # Scales are rounded to 8 bits, which leaves less than a tenth of a last bit on average.
    assert abs(float(along.mean())) < 3 * float(along.std()) / 100 + 2**-9 / 10


@pytest.mark.parametrize(("bits", "error"), [(1, 0.571), (2, 0.133), (3, 0.0358), (4, 0.0096)])
def test_the_error_of_rotated_numbers_is_that_of_the_best_levels(bits, error):
    """d / (1 - d) for the distortion d in the table of J. Max (0.3634, 0.1175, 0.03454, 0.009497)."""
    numbers = torch.randn(64 * ROTATED_GROUP, generator=stream(2)) ** 3
    found = crossed(numbers, PackedForm(bits, rotated=True)) - numbers
    assert float(found.square().sum() / numbers.square().sum()) == pytest.approx(error, rel=0.06)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_nearest_level_is_found_up_to_the_border(bits):
    positive = torch.tensor(_NORMAL_LEVELS[bits])
    levels = torch.cat((-positive.flip(0), positive))
    borders = (levels[1:] + levels[:-1]) / 2
    far = torch.tensor(math.inf)
    beside = torch.cat((borders.nextafter(far), borders, borders.nextafter(-far)))
    numbers = torch.cat(
        (beside, levels, 2 * torch.randn(10_000, generator=stream()), torch.tensor([far, -far]))
    )
    expected = (numbers[:, None] > borders).sum(1)
    assert torch.equal(_nearest(numbers, bits).long(), expected)


def test_a_half_of_the_signs_is_negative_and_none_hangs_on_another():
    signs = _signs(stream(), torch.empty(200, ROTATED_GROUP))
    assert signs.shape == (2, 200, ROTATED_GROUP)
    assert torch.equal(signs.abs(), torch.ones_like(signs))
    drawn = signs.flatten()
    for offset in (1, 8, 63, 64, 65, ROTATED_GROUP, 200 * ROTATED_GROUP):
        together = drawn[offset:] * drawn[:-offset]
        assert abs(float(together.mean())) < 4 / math.sqrt(len(together))
    by_bit = drawn.view(-1, 64).mean(0)
    assert float(by_bit.abs().max()) < 4.5 / math.sqrt(len(drawn) / 64)


@settings(max_examples=30)
@given(forms, st.integers(1, 600))
def test_other_signs_give_other_numbers_and_the_same_signs_the_same(form, count):
    numbers = torch.randn(count, generator=stream())
    assert torch.equal(crossed(numbers, form, 1), crossed(numbers, form, 1))
    assert torch.equal(crossed(numbers, form, 1), crossed(numbers, form, 2)) == (not form.rotated)


@pytest.mark.parametrize("form", ROTATED, ids=str)
def test_a_large_tensor_is_unpacked_with_the_signs_that_it_was_packed_with(form):
    """Its signs come again after some groups."""
    numbers = torch.randn(300 * ROTATED_GROUP, generator=stream())
    error = (crossed(numbers, form) - numbers).square().view(300, -1).mean(1)
    assert error.max() < 1.2
