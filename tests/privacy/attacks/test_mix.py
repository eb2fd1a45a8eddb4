"""The mix of a client's labels, from means or from movement."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.privacy.attacks.mix import mix_of_means, mix_of_movement, total_variation

MEANS = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
SHARES = st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any)


@given(SHARES)
def test_a_mean_that_is_a_mixture_gives_its_mix(shares):
    mix = torch.tensor(shares).double()
    mix = mix / mix.sum()
    found = mix_of_means(MEANS, mix.float() @ MEANS)
    assert total_variation(found, mix) < 1e-4


@given(st.lists(st.floats(-9, 9), min_size=20, max_size=20))
def test_whatever_the_mean_is_shares_are_a_mix(mean):
    found = mix_of_means(MEANS, torch.tensor(mean))
    assert (found >= 0).all()
    assert found.sum().item() == pytest.approx(1)


def test_the_size_of_the_numbers_does_not_matter():
    mix = torch.tensor([0.5, 0.25, 0.25, 0.0, 0.0]).double()
    for size in (1e-4, 1e4):
        found = mix_of_means(size * MEANS, size * (mix.float() @ MEANS))
        assert total_variation(found, mix) < 1e-4


def test_rows_count_by_how_far_they_moved():
    before = torch.zeros(3, 2)
    after = torch.tensor([[1.0, -1.0], [0.0, 0.0], [2.0, 4.0]])
    mix = mix_of_movement({"embedding.weight": before}, {"embedding.weight": after})
    assert mix.tolist() == [0.25, 0, 0.75]


def test_total_variation_is_from_nothing_to_one():
    first, second = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert total_variation(first, first) == 0
    assert total_variation(first, second) == 1
