"""Pooled statistics are those of all features together, however they are split."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation.class_statistics import (
    ClassStatistics,
    class_statistics,
    drawn_features,
    pooled_statistics,
)

WIDTH = 3


def features(count, seed=0, centre=0.0):
    stream = torch.Generator().manual_seed(seed)
    return centre + torch.randn(count, WIDTH, generator=stream, dtype=torch.float64)


def covariance(rows):
    """Unbiased; of one row it is zero."""
    return torch.cov(rows.T) if len(rows) > 1 else torch.zeros(WIDTH, WIDTH, dtype=torch.float64)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_however_images_are_split_the_statistics_are_those_of_the_union(split):
    """Clients with one image of a class among them, for whom a biased covariance would be the same."""
    labels = [torch.tensor(each) for each in split]
    own = [features(len(each), seed) for seed, each in enumerate(labels)]
    found = pooled_statistics(
        {k: class_statistics(*each) for k, each in enumerate(zip(own, labels, strict=True))}
    )
    rows, together = torch.cat(own), torch.cat(labels)
    assert found.classes.tolist() == sorted(set(together.tolist()))
    for place, each in enumerate(found.classes):
        of_class = rows[together == each]
        assert int(found.counts[place]) == len(of_class)
        torch.testing.assert_close(found.means[place], of_class.mean(0))
        torch.testing.assert_close(found.covariances[place], covariance(of_class))


def test_it_is_the_papers_formula():
    """Term by term, with unbiased local covariances; biased ones, as in FL-bench, give another matrix."""
    own = {0: features(5, 0, 2.0), 1: features(2, 1, -1.0), 2: features(9, 2)}
    n = sum(map(len, own.values()))
    mu = sum(len(rows) * rows.mean(0) for rows in own.values()) / n
    expected = -n / (n - 1) * torch.outer(mu, mu)
    biased = expected.clone()
    for rows in own.values():
        mean, share = rows.mean(0), (len(rows) - 1) / (n - 1)
        between = len(rows) / (n - 1) * torch.outer(mean, mean)
        expected += share * torch.cov(rows.T) + between
        biased += share * torch.cov(rows.T, correction=0) + between
    labels = {k: torch.zeros(len(rows), dtype=torch.int64) for k, rows in own.items()}
    found = pooled_statistics({k: class_statistics(own[k], labels[k]) for k in own})
    torch.testing.assert_close(found.covariances[0], expected)
    assert not torch.allclose(found.covariances[0], biased)


def test_large_means_lose_no_digits():
    own = {0: features(4, 0, 1e6), 1: features(3, 1, 1e6)}
    labels = {k: torch.zeros(len(rows), dtype=torch.int64) for k, rows in own.items()}
    found = pooled_statistics({k: class_statistics(own[k], labels[k]) for k in own})
    shifted = torch.cat(list(own.values())) - 1e6
    torch.testing.assert_close(found.covariances[0], covariance(shifted), rtol=1e-6, atol=1e-8)


def test_drawn_features_have_the_given_moments_also_where_the_covariance_is_singular():
    rows = features(2, 3)
    statistics = class_statistics(torch.cat([rows, features(40, 4, 5.0)]), torch.tensor([4] * 2 + [7] * 40))
    drawn, labels = drawn_features(statistics, 20_000, torch.Generator().manual_seed(0))
    assert labels.tolist() == [4] * 20_000 + [7] * 20_000
    for place, each in enumerate((4, 7)):
        own = drawn[labels == each]
        torch.testing.assert_close(own.mean(0), statistics.means[place], rtol=0, atol=0.05)
        torch.testing.assert_close(torch.cov(own.T), statistics.covariances[place], rtol=0.05, atol=0.05)
    direction = rows[1] - rows[0]
    off_the_line = drawn[labels == 4] - rows.mean(0)
    off_the_line -= (off_the_line @ direction / direction.square().sum()).outer(direction)
    assert off_the_line.abs().max() < 1e-6


def test_of_one_image_its_own_feature_is_drawn():
    rows = features(1)
    drawn, _ = drawn_features(class_statistics(rows, torch.tensor([2])), 3, torch.Generator())
    torch.testing.assert_close(drawn, rows.expand(3, WIDTH))


def test_nobody_has_no_statistics():
    with pytest.raises(ValueError, match="no client"):
        pooled_statistics({})


def test_they_have_the_features_type():
    found = class_statistics(features(4).float(), torch.tensor([0, 0, 1, 1]))
    assert isinstance(found, ClassStatistics)
    assert found.means.dtype == found.covariances.dtype == torch.float32
