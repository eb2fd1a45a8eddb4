from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.data import BatchSampler, DataError, FreshDraw, ShuffledPasses

SAMPLES = st.integers(1, 70)
BATCH_SIZES = st.integers(2, 20)
SEEDS = st.integers(0, 2**32)
BOTH = pytest.mark.parametrize("kind", [ShuffledPasses, FreshDraw])


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def take(sampler: BatchSampler, count: int) -> list[list[int]]:
    return [sampler.next().tolist() for _ in range(count)]


@given(samples=SAMPLES.filter(lambda n: n > 1), batch_size=BATCH_SIZES, seed=SEEDS)
def test_no_sample_is_repeated_within_a_pass(samples, batch_size, seed):
    """Split the stream into runs of n: each must be a permutation of all n samples."""
    sampler = ShuffledPasses(samples, batch_size, stream(seed))
    drawn = [index for batch in take(sampler, 40) for index in batch]
    for start in range(0, len(drawn) - samples + 1, samples):
        assert sorted(drawn[start : start + samples]) == list(range(samples))
    assert len(set(drawn[: samples * (len(drawn) // samples)])) in (0, samples)


@given(samples=SAMPLES.filter(lambda n: n > 1), batch_size=BATCH_SIZES, seed=SEEDS)
def test_batches_have_two_to_batch_size_distinct_samples(samples, batch_size, seed):
    for batch in take(ShuffledPasses(samples, batch_size, stream(seed)), 40):
        assert 2 <= len(batch) <= min(samples, batch_size)
        assert len(set(batch)) == len(batch)


@given(samples=SAMPLES, batch_size=BATCH_SIZES, seed=SEEDS)
def test_a_pass_takes_samples_divided_by_batch_size_batches(samples, batch_size, seed):
    sampler = ShuffledPasses(samples, batch_size, stream(seed))
    seen = {index for batch in take(sampler, -(-samples // batch_size)) for index in batch}
    assert seen == set(range(samples))


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [
        (7, [3, 3, 2, 3, 3, 3, 3, 2]),  # a single one left over is joined by one of the next pass
        (8, [3, 3, 2, 3, 3, 2]),
        (9, [3, 3, 3, 3]),
        (2, [2, 2]),
        (1, [2, 2]),
    ],
)
def test_hand_worked_batch_sizes_with_batches_of_three(samples, sizes):
    batches = take(ShuffledPasses(samples, 3, stream(0)), len(sizes))
    assert [len(batch) for batch in batches] == sizes


@BOTH
def test_an_only_sample_is_taken_twice(kind):
    sampler = kind(1, 8, stream(0))
    assert take(sampler, 3) == [[0, 0]] * 3


@BOTH
@given(samples=SAMPLES, batch_size=BATCH_SIZES, seed=SEEDS)
def test_the_same_generator_gives_the_same_stream(kind, samples, batch_size, seed):
    left, right = (take(kind(samples, batch_size, stream(seed)), 10) for _ in range(2))
    assert left == right


@BOTH
def test_different_generators_give_different_streams(kind):
    assert take(kind(50, 10, stream(1)), 3) != take(kind(50, 10, stream(2)), 3)


@BOTH
def test_global_random_numbers_are_neither_used_nor_changed(kind):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    take(kind(9, 4, stream(1)), 8)
    assert torch.equal(torch.get_rng_state(), state)


@BOTH
def test_batches_are_int64(kind):
    assert all(kind(n, 4, stream(0)).next().dtype == torch.int64 for n in (1, 2, 9))


def test_the_order_changes_between_passes():
    sampler = ShuffledPasses(30, 30, stream(0))
    first, second = take(sampler, 2)
    assert first != second
    assert sorted(first) == sorted(second)


@given(samples=SAMPLES.filter(lambda n: n > 1), batch_size=BATCH_SIZES, seed=SEEDS)
def test_fresh_draws_are_full_batches_of_distinct_samples(samples, batch_size, seed):
    sampler = FreshDraw(samples, batch_size, stream(seed))
    for batch in take(sampler, 10):
        assert len(batch) == len(set(batch)) == min(samples, batch_size)
        assert set(batch) <= set(range(samples))


def test_fresh_draws_leave_samples_out_as_the_authors_code_does():
    """Ten draws of 10 of 100 cover 1 - 0.9^10 = 65 % on average; a pass would cover all."""
    sampler = FreshDraw(100, 10, stream(0))
    counts = Counter(index for batch in take(sampler, 10) for index in batch)
    assert 50 <= len(counts) <= 80
    assert max(counts.values()) > 1


@BOTH
@pytest.mark.parametrize(
    ("samples", "batch_size", "message"),
    [(0, 4, "0 samples"), (5, 1, "batch_size is 1"), (5, 0, "batch_size is 0")],
)
def test_invalid_numbers_are_refused(kind, samples, batch_size, message):
    with pytest.raises(DataError, match=message):
        kind(samples, batch_size, stream(0))
