"""How well scores tell members from others: by hand, and against scikit-learn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from huscf_flwr.privacy.separation import area_under_curve, found_at, separation

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12).map(lambda each: torch.tensor(each).double())


@given(SCORES, SCORES)
def test_the_area_is_scikit_learns_ties_included(members, others):
    truth = [1] * len(members) + [0] * len(others)
    expected = roc_auc_score(truth, torch.cat((members, others)).numpy())
    assert area_under_curve(members, others) == pytest.approx(expected)


def test_members_that_are_found_are_above_a_threshold_that_few_others_exceed():
    """Two of the hundred others may be above it: 98 and 99; the threshold is 97."""
    others = torch.arange(100.0)
    assert found_at(torch.tensor([96.0, 97.0, 98.0, 100.0]), others, 0.02) == 0.5


def test_no_rate_is_told_where_no_threshold_could_have_it():
    few, many = torch.arange(99.0), torch.arange(100.0)
    assert separation(few, few).found is None
    assert separation(few, many).found == 0


def test_an_interval_holds_the_value_and_is_narrower_with_more_images():
    stream = torch.Generator().manual_seed(0)
    small, large = (
        separation(torch.randn(n, generator=stream) + 1, torch.randn(n, generator=stream)) for n in (30, 1000)
    )
    for found in (small, large):
        low, high = found.auc_interval
        assert low < found.auc < high
    assert large.auc_interval[1] - large.auc_interval[0] < small.auc_interval[1] - small.auc_interval[0]
    assert large.found_interval[0] < large.found < large.found_interval[1]
