"""Clients compared by drawn images, against closed forms, SciPy and draws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from huscf_flwr.methods.pflgan.similarity import Gaussians, divergences, encoded, gaussians_of, weights_of


def gaussians(clients, dimensions, seed):
    stream = torch.Generator().manual_seed(seed)
    factors = torch.randn(clients, dimensions, dimensions, generator=stream, dtype=torch.float64)
    covariances = factors @ factors.mT + 0.5 * torch.eye(dimensions, dtype=torch.float64)
    return Gaussians(torch.randn(clients, dimensions, generator=stream, dtype=torch.float64), covariances)


def test_divergences_of_two_gaussians_on_a_line():
    """KL(N(m, s^2) || N(n, t^2)) = ln(t / s) + (s^2 + (m - n)^2) / (2 t^2) - 1/2."""
    means, spreads = [[1.0], [4.0]], [2.0, 3.0]
    found = divergences(
        Gaussians(
            torch.tensor(means, dtype=torch.float64),
            torch.tensor(spreads, dtype=torch.float64).square()[:, None, None],
        )
    )
    there = math.log(3 / 2) + (4 + 9) / (2 * 9) - 0.5
    back = math.log(2 / 3) + (9 + 9) / (2 * 4) - 0.5
    assert found.tolist() == [[0, pytest.approx(there)], [pytest.approx(back), 0]]


def test_divergences_are_means_of_log_ratios_over_draws():
    both = gaussians(2, 3, seed=0)
    first, second = (
        multivariate_normal(mean.numpy(), covariance.numpy())
        for mean, covariance in zip(both.means, both.covariances, strict=True)
    )
    points = first.rvs(200_000, random_state=np.random.default_rng(1))
    expected = np.mean(first.logpdf(points) - second.logpdf(points))
    assert float(divergences(both)[0, 1]) == pytest.approx(expected, rel=0.02)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000))
def test_divergences_are_at_least_zero_and_do_not_depend_on_coordinates(clients, dimensions, seed):
    given_ones = gaussians(clients, dimensions, seed)
    found = divergences(given_ones)
    assert bool((found >= 0).all())
    assert found.diagonal().tolist() == [0] * clients
    stream = torch.Generator().manual_seed(seed)
    turn = torch.randn(dimensions, dimensions, generator=stream, dtype=torch.float64)
    turn += 3 * dimensions * torch.eye(dimensions, dtype=torch.float64)
    turned = Gaussians(given_ones.means @ turn.T + 7, turn @ given_ones.covariances @ turn.T)
    torch.testing.assert_close(divergences(turned), found, rtol=1e-6, atol=1e-6)


def test_a_gaussian_has_the_mean_and_covariance_of_the_codes():
    stream = torch.Generator().manual_seed(0)
    codes = torch.randn(2, 40, 3, generator=stream, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0])
    found = gaussians_of(codes)
    added = 0.01 * np.var(codes.numpy().reshape(80, 3), axis=0, ddof=1).mean() * np.eye(3)
    for client in range(2):
        own = codes[client].numpy()
        np.testing.assert_allclose(found.means[client], own.mean(0))
        np.testing.assert_allclose(found.covariances[client], np.cov(own.T) + added)


def test_codes_are_principal_components():
    """As NumPy's singular value decomposition has them, up to the sign of each."""
    images = torch.rand(2, 30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    pixels = images.double().numpy().reshape(60, 16)
    centred = pixels - pixels.mean(0)
    expected = centred @ np.linalg.svd(centred)[2][:3].T
    np.testing.assert_allclose(encoded(images, 3).numpy().reshape(60, 3).__abs__(), abs(expected), atol=1e-9)


def test_large_images_are_averaged_down_first():
    small = torch.rand(2, 5, 1, 14, 14, generator=torch.Generator().manual_seed(0)).double()
    large = small.repeat_interleave(3, 3).repeat_interleave(3, 4)
    torch.testing.assert_close(encoded(large, 4).abs(), encoded(small, 4).abs())


def test_there_are_no_more_components_than_pixels():
    assert encoded(torch.rand(1, 9, 1, 2, 2), 100).shape == (1, 9, 4)


def test_a_client_that_always_draws_the_same_image_is_at_a_finite_distance():
    images = torch.rand(2, 20, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    images[0] = images[0, 0]
    weights = weights_of(divergences(gaussians_of(encoded(images, 8))), 1.0)
    assert bool(weights.isfinite().all())


@given(st.integers(1, 6), st.floats(0.1, 100), st.integers(0, 1000))
def test_weights_of_a_client_add_up_to_one_and_its_own_images_count_most(clients, temperature, seed):
    weights = weights_of(divergences(gaussians(clients, 3, seed)), temperature)
    torch.testing.assert_close(weights.sum(1), torch.ones(clients, dtype=torch.float64))
    assert weights.argmax(1).tolist() == list(range(clients))


def test_weights_fall_with_the_divergence_in_both_directions():
    found = weights_of(torch.tensor([[0.0, 1.0], [3.0, 0.0]], dtype=torch.float64), 2.0)
    other = math.exp(-(1 + 3) / 2 / 2)
    expected = [[1 / (1 + other), other / (1 + other)], [other / (1 + other), 1 / (1 + other)]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_a_hot_mixture_is_an_even_one_and_a_cold_one_keeps_to_itself():
    found = divergences(gaussians(3, 2, seed=0))
    torch.testing.assert_close(weights_of(found, 1e9), torch.full((3, 3), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(weights_of(found, 1e-9), torch.eye(3, dtype=torch.float64))
