"""Conformal sets beside their definition in a loop, and the share of images that they cover."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation.conformal import prediction_sets, raps_scores, raps_threshold


def probabilities(count, classes=6, seed=0, sharpness=1.0):
    stream = torch.Generator().manual_seed(seed)
    return torch.softmax(sharpness * torch.randn(count, classes, generator=stream).double(), dim=1)


def test_a_score_is_worked_by_hand():
    """Places 1, 3, 2: sums .6, 1, .9, and .25 for each place after the first."""
    found = raps_scores(torch.tensor([[0.6, 0.1, 0.3]]), free=1, penalty=0.25)
    torch.testing.assert_close(found, torch.tensor([[0.6, 1.5, 1.15]]))


@given(st.integers(0, 1000), st.integers(0, 6), st.sampled_from([0.0, 0.1, 1.0]))
@settings(deadline=None, max_examples=30)
def test_scores_are_those_of_a_loop(seed, free, penalty):
    given_ = probabilities(4, seed=seed)
    found = raps_scores(given_, free=free, penalty=penalty)
    for row, own in zip(found.tolist(), given_.tolist(), strict=True):
        for each, score in enumerate(row):
            above = [p for p in own if p >= own[each]]
            assert score == pytest.approx(sum(above) + penalty * max(0, len(above) - free))


@pytest.mark.parametrize("miss", [0.05, 0.1, 0.3])
def test_new_images_of_the_same_kind_are_covered_as_often_as_said(miss):
    """Labels are drawn from the probabilities themselves; 20,000 images, so that chance is below 0.01."""
    given_ = probabilities(22_000, seed=1)
    labels = torch.multinomial(given_, 1, generator=torch.Generator().manual_seed(2)).squeeze(1)
    scores = raps_scores(given_, free=2, penalty=0.05)
    bound = raps_threshold(scores[:2000], labels[:2000], miss=miss)
    sets = prediction_sets(scores[2000:], bound)
    covered = sets.gather(1, labels[2000:].unsqueeze(1)).double().mean()
    assert float(covered) == pytest.approx(1 - miss, abs=0.025)


def test_a_bound_is_one_of_the_scores_and_infinite_with_too_few_of_them():
    scores = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
    labels = torch.zeros(4, dtype=torch.int64)
    assert raps_threshold(scores, labels, miss=0.2) == pytest.approx(0.4)
    assert raps_threshold(scores, labels, miss=0.4) == pytest.approx(0.3)
    assert raps_threshold(scores, labels, miss=0.1) == math.inf


def test_the_likeliest_class_is_always_in_the_set():
    scores = raps_scores(probabilities(9), free=0, penalty=1.0)
    sets = prediction_sets(scores, -math.inf)
    assert torch.equal(sets.double().argmax(1), probabilities(9).argmax(1))
    assert sets.sum(1).eq(1).all()
    assert prediction_sets(scores, math.inf).all()
