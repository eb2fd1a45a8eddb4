"""The noised mean embedding: what a release is made of, and that fakes are drawn to what was released."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.accounting.secret_noise import KeyedStream, seeded_key
from huscf_flwr.split.embedding import SQUARED_BANDWIDTHS, NoisedEmbedding, RandomFeatures, noised_sums

_SHAPE = (1, 4, 4)
_CLASSES = 3


def _images(count: int, seed: int = 0) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(count, *_SHAPE, generator=stream, dtype=torch.float64) * 2 - 1


def _stream(key: str = "key") -> KeyedStream:
    return KeyedStream(seeded_key(0, key))


def _embedding(images: torch.Tensor, labels: torch.Tensor, noise: float = 0.0, count: int = 400):
    features = RandomFeatures(_SHAPE, count, seed=0)
    return NoisedEmbedding.of(
        features, noised_sums(features(images), labels, _CLASSES, noise, _stream()), noise
    )


def _kernel(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The mean of Gaussian kernels, written out."""
    squared = torch.cdist(left.flatten(1), right.flatten(1)) ** 2 / left[0].numel()
    return torch.stack([torch.exp(-squared / (2 * each)) for each in SQUARED_BANDWIDTHS]).mean(0)


def test_inner_products_of_features_are_the_mean_of_gaussian_kernels():
    images = _images(20)
    features = RandomFeatures(_SHAPE, 40_000, seed=0)(images)
    torch.testing.assert_close(features @ features.T, _kernel(images, images), rtol=0, atol=0.04)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**20), st.sampled_from([torch.float32, torch.float64]))
def test_an_image_more_changes_the_sums_by_a_norm_of_no_more_than_one(count, seed, dtype):
    images, labels = _images(count, seed).to(dtype), torch.arange(count) % _CLASSES
    features = RandomFeatures(_SHAPE, 40, seed)(images)
    with_it = noised_sums(features, labels, _CLASSES, 0.0, _stream())
    without = noised_sums(features[:-1], labels[:-1], _CLASSES, 0.0, _stream())
    assert 0.99 < float((with_it - without).norm()) <= 1 + 1e-5 * count


def test_the_noise_has_the_stated_deviation_and_its_own_numbers_everywhere():
    features, labels = RandomFeatures(_SHAPE, 4000, seed=0)(_images(5)), torch.tensor([0, 1, 2, 0, 1])
    silent, noised = (noised_sums(features, labels, _CLASSES, noise, _stream()) for noise in (0.0, 3.0))
    noise = noised - silent
    assert float(noise.std()) == pytest.approx(3.0, rel=4 / math.sqrt(noise.numel()))
    assert len(noise.unique()) == noise.numel()
    assert silent.shape == (_CLASSES, 4001)


def test_the_discrepancy_is_that_of_kernels_between_the_fakes_of_a_label_and_its_images():
    """Over pairs of two different fakes, so that the few of a batch do not bias it."""
    images, labels = _images(30), torch.arange(30) % _CLASSES
    fakes, of_fakes = _images(9, 1), torch.arange(9) % _CLASSES
    expected = 0.0
    for label in range(_CLASSES):
        some, real = fakes[of_fakes == label], images[labels == label]
        pairs = _kernel(some, some)
        apart = (pairs.sum() - pairs.diagonal().sum()) / (3 * 2)
        expected += float(apart - 2 * _kernel(some, real).mean()) / _CLASSES
    found = float(_embedding(images, labels, count=40_000).discrepancy(fakes, of_fakes))
    assert found == pytest.approx(expected, abs=0.02)


def test_a_label_that_no_image_has_says_nothing_to_its_fakes():
    images, labels = _images(400), torch.arange(400) % 2
    embedding = _embedding(images, labels, noise=2.0)
    fakes = _images(6, 1).requires_grad_()
    embedding.discrepancy(fakes, torch.tensor([0, 0, 1, 1, 2, 2])).backward()
    assert embedding.shares.tolist()[2] == 0
    assert float(embedding.shares.sum()) == pytest.approx(_CLASSES)
    assert fakes.grad is not None
    assert not fakes.grad[4:].any()
    assert fakes.grad[:4].flatten(1).any(dim=1).all()


def test_fakes_that_follow_the_gradient_come_near_the_images_of_their_label():
    images = torch.cat([torch.full((50, *_SHAPE), value, dtype=torch.float64) for value in (-0.5, 0.5, 0.0)])
    images += 0.1 * _images(150)
    embedding = _embedding(images, torch.arange(3).repeat_interleave(50), noise=0.5, count=2000)
    labels = torch.arange(30) % _CLASSES
    fakes = _images(30, 1).requires_grad_()
    optimiser = torch.optim.Adam([fakes], 0.05)
    for _ in range(60):
        optimiser.zero_grad()
        embedding.discrepancy(fakes, labels).backward()
        optimiser.step()
    means = torch.stack([fakes[labels == label].mean() for label in range(_CLASSES)])
    torch.testing.assert_close(means, torch.tensor([-0.5, 0.5, 0.0], dtype=torch.float64), rtol=0, atol=0.15)


def test_features_that_cannot_be_shared_evenly_are_refused():
    with pytest.raises(ValueError, match=r"privacy\.features is 42: take a multiple of 4"):
        RandomFeatures(_SHAPE, 42, seed=0)
