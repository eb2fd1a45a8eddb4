import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from huscf_flwr.federation.features import (
    ActivationAccumulator,
    ActivationStatistics,
    clustering_features,
    comparable_means,
    feature_space,
)


def observe(*batches: Tensor) -> ActivationStatistics:
    accumulator = ActivationAccumulator()
    for batch in batches:
        accumulator.observe(batch)
    return accumulator.statistics()


def of_mean(mean: Tensor) -> ActivationStatistics:
    return ActivationStatistics(mean, torch.zeros_like(mean), samples=1)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    shape=st.sampled_from([(3,), (2, 4), (2, 3, 2)]),
    offset=st.sampled_from([0.0, 1e4]),
    seed=st.integers(0, 2**31),
)
def test_batches_give_the_moments_of_all_samples_at_once(sizes, shape, offset, seed):
    stream = torch.Generator().manual_seed(seed)
    batches = [torch.randn(n, *shape, generator=stream, dtype=torch.float64) + offset for n in sizes]
    found, every_sample = observe(*batches), torch.cat(batches)
    assert found.samples == sum(sizes)
    torch.testing.assert_close(found.mean, every_sample.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.variance, every_sample.var(0, correction=0), rtol=1e-9, atol=1e-9)


def test_hand_worked_moments():
    found = observe(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [2.0]]]))
    assert found.mean.tolist() == [[2.0], [2.0]]
    assert found.variance.tolist() == [[1.0], [0.0]]


def test_sums_are_kept_in_float64_and_without_a_graph():
    activations = torch.full((4, 2), 0.1, dtype=torch.float32, requires_grad=True)
    found = observe(activations * 1, activations * 1)
    assert found.mean.dtype == found.variance.dtype == torch.float64
    assert not found.mean.requires_grad
    assert not found.variance.requires_grad


def test_statistics_taken_early_do_not_change_later():
    accumulator = ActivationAccumulator()
    accumulator.observe(torch.zeros(2, 3))
    early = accumulator.statistics()
    accumulator.observe(torch.ones(2, 3))
    assert early.mean.tolist() == [0, 0, 0]
    assert accumulator.statistics().mean.tolist() == [0.5, 0.5, 0.5]


def test_nothing_observed_is_an_error():
    with pytest.raises(ValueError, match="no activation was observed"):
        ActivationAccumulator().statistics()
    with pytest.raises(ValueError, match="no activation was observed"):
        observe(torch.zeros(0, 3))


def test_change_of_shape_is_an_error():
    with pytest.raises(ValueError, match=r"\[2, 2\].*\[2, 3\]"):
        observe(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="must be"):
        observe(torch.zeros(3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_diverged_discriminator_is_an_error(bad):
    with pytest.raises(ValueError, match="not finite"):
        observe(torch.tensor([[1.0, bad]]))


def test_features_are_flattened_means():
    means = torch.arange(12.0, dtype=torch.float64).view(2, 3, 2)
    features = clustering_features([of_mean(means[0]), of_mean(means[1])])
    assert features.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_features_scaled_by_clients_have_unit_variance_and_constant_ones_are_zero():
    rows = torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 10.0], [5.0, 5.0, -10.0]], dtype=torch.float64)
    features = clustering_features([of_mean(row) for row in rows], "clients")
    torch.testing.assert_close(features.mean(0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(
        features.var(0, correction=0), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    )


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (10, 4, 4)])
@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), seed=st.integers(0, 999))
def test_a_sketch_has_the_moments_of_all_samples_in_fixed_directions(shape, sizes, seed):
    stream = torch.Generator().manual_seed(seed)
    batches = [100 + torch.randn(n, *shape, generator=stream, dtype=torch.float64) for n in sizes]
    together = torch.cat(batches).flatten(1)
    found = observe(*batches).sketch
    # Any directions will do, as long as they are the same for all clients.
    axes = torch.eye(together.shape[1], dtype=torch.float64).view(-1, *shape)
    directions = torch.stack([observe(axis[None]).sketch.mean for axis in axes])
    projected = together @ directions
    torch.testing.assert_close(found.mean, projected.mean(0), rtol=1e-9, atol=1e-9)
    centred = projected - projected.mean(0)
    torch.testing.assert_close(found.covariance, centred.T @ centred / len(together), rtol=1e-7, atol=1e-9)


def test_sketch_keeps_distances_of_large_activations():
    stream = torch.Generator().manual_seed(0)
    pair = torch.randn(2, 1, 50, 7, 7, generator=stream)
    first, second = observe(pair[0]), observe(pair[1])
    assert len(first.sketch.mean) == 128
    distance = (first.sketch.mean - second.sketch.mean).norm() / 128**0.5
    expected = (first.mean - second.mean).norm() / first.mean.numel() ** 0.5
    assert distance.item() == pytest.approx(expected.item(), rel=0.25)


def test_scaling_by_samples_suppresses_label_skew_relative_to_domains():
    """Two labels that differ far more than the two domains do, and in another direction."""
    stream = torch.Generator().manual_seed(1)

    def client(domain, share_of_first_label):
        label = (torch.arange(100) < 100 * share_of_first_label).double()
        noise = 0.3 * torch.randn(100, 4, generator=stream, dtype=torch.float64)
        return observe(torch.stack([20 * label, 0 * label, domain + 0 * label, 0 * label], 1) + noise)

    clients = [client(0, 0.3), client(0, 0.7), client(1, 0.3), client(1, 0.7)]

    def distances(scaling):
        first, skewed, elsewhere, _ = clustering_features(clients, scaling)
        return (first - skewed).norm(), (first - elsewhere).norm()

    by_label, by_domain = distances("none")
    assert by_label > 5 * by_domain
    by_label, by_domain = distances("samples")
    assert by_domain > 0.25 * by_label


@settings(deadline=None)
@given(scale=st.floats(1e-3, 1e3))
def test_scaling_by_samples_does_not_depend_on_the_scale_of_a_layer(scale):
    stream = torch.Generator().manual_seed(1)
    batches = [torch.randn(5, 4, 2, generator=stream, dtype=torch.float64) + i for i in range(3)]
    features = clustering_features([observe(batch) for batch in batches], "samples")
    scaled = clustering_features([observe(batch * scale) for batch in batches], "samples")
    torch.testing.assert_close(torch.cdist(scaled, scaled), torch.cdist(features, features))


def test_scaling_by_samples_without_spread_gives_finite_features():
    features = clustering_features([observe(torch.ones(1, 3)), observe(torch.zeros(1, 3))], "samples")
    assert features.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_unknown_scaling_and_missing_sketch_are_errors():
    with pytest.raises(ValueError, match=r"scaling is 'no'.*none, clients, samples"):
        clustering_features([of_mean(torch.zeros(2))], "no")
    with pytest.raises(ValueError, match="need a sketch"):
        clustering_features([observe(torch.ones(2, 2)), of_mean(torch.zeros(2).double())], "samples")


def test_clients_of_different_networks_are_an_error():
    with pytest.raises(ValueError, match="differ in shape"):
        clustering_features([of_mean(torch.zeros(2)), of_mean(torch.zeros(3))])
    with pytest.raises(ValueError, match="found none"):
        clustering_features([])


@pytest.mark.parametrize("scaling", ["none", "clients", "samples"])
def test_means_of_another_round_can_be_put_among_features(scaling):
    """Where one of these clients would be, and half way between two of them."""
    stream = torch.Generator().manual_seed(0)
    clients = [observe(torch.randn(30, 2, 3, 3, generator=stream) + 3 * k) for k in range(4)]
    means, space = comparable_means(clients, scaling), feature_space(clients, scaling)
    features = clustering_features(clients, scaling)
    torch.testing.assert_close(space.features(means[2:3]), features[2:3])
    torch.testing.assert_close(
        space.features(means[:2].mean(0, keepdim=True)), features[:2].mean(0, keepdim=True)
    )
