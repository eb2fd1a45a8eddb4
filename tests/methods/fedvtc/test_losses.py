import pytest
import torch
from torch.distributions import Normal, kl_divergence

from huscf_flwr.methods.fedvtc import losses


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("per_image", [False, True])
def test_divergence_is_that_of_normal_distributions(per_image):
    rows = (6,) if per_image else ()
    features, means = drawn(6, 4), drawn(6, 4, seed=1)
    own, common = drawn(*rows, 4, seed=2).exp(), drawn(*rows, 4, seed=3).exp()
    expected = (
        kl_divergence(Normal(features, own.expand(6, 4)), Normal(means, common.expand(6, 4))).sum(1).mean()
    )
    torch.testing.assert_close(losses.divergence(features, own, means, common), expected)


def test_there_is_no_divergence_between_equal_distributions():
    features, deviations = drawn(6, 4), drawn(4, seed=2).exp()
    assert losses.divergence(features, deviations, features, deviations).item() == pytest.approx(0)


def test_reconstruction_is_summed_over_pixels_and_averaged_over_images():
    images = torch.zeros(2, 1, 2, 2)
    assert (
        losses.reconstruction(images + torch.tensor([1.0, 2.0])[:, None, None, None], images).item()
        == (4 + 16) / 2
    )


def test_alignment_by_hand():
    """Variances 1 and 4: weights 1.6 and 0.4."""
    features = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    found = losses.alignment(features, torch.zeros(2, 2), torch.tensor([1.0, 2.0]))
    assert found.item() == pytest.approx((1.6 * 1 + 0.4 * 25) / 4)


def test_with_an_even_spread_alignment_is_the_mean_squared_distance_whatever_the_spread():
    features, means = drawn(6, 4), drawn(6, 4, seed=1)
    for spread in (0.1, 1.0, 10.0):
        found = losses.alignment(features, means, torch.full((4,), spread, dtype=torch.float64))
        torch.testing.assert_close(found, (features - means).square().mean())


def test_means_are_matched_class_by_class():
    features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    targets = torch.tensor([[1.0, 1.0], [100.0, 100.0], [5.0, 4.0]])
    found = losses.matching_of_means(features, torch.tensor([0, 0, 2]), targets)
    assert found.item() == pytest.approx((1 + 1) / 2)


def test_images_are_matched_one_by_one_relative_to_the_spread():
    features = torch.tensor([[0.0, 2.0], [4.0, 0.0]])
    found = losses.matching_of_images(features, torch.zeros(2, 2), torch.tensor([2.0, 1.0]))
    assert found.item() == pytest.approx((4 + 4) / 2)
