import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import MixtureSameFamily, Normal

from huscf_flwr.federation.divergence import GaussianDivergence, SpatialSoftmax, label_divergences
from huscf_flwr.federation.features import ActivationStatistics

DIRECTIONS = ("client-from-peers", "peers-from-client")
REDUCTIONS = ("mean", "sum")
EVERY = [
    kind(direction=direction, reduction=reduction)
    for kind in (GaussianDivergence, SpatialSoftmax)
    for direction, reduction in itertools.product(DIRECTIONS, REDUCTIONS)
]


def clients(count, shape=(3, 2, 2), seed=0):
    stream = torch.Generator().manual_seed(seed)
    draw = {"generator": stream, "dtype": torch.float64}
    return [
        ActivationStatistics(torch.randn(shape, **draw), torch.rand(shape, **draw) + 0.1, samples=10)
        for _ in range(count)
    ]


def statistics(mean, variance):
    return ActivationStatistics(
        torch.tensor(mean, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64), samples=5
    )


@pytest.mark.parametrize("divergence", EVERY)
@settings(deadline=None)
@given(count=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_divergences_are_finite_and_not_negative(divergence, count, seed):
    found = divergence(clients(count, seed=seed))
    assert found.shape == (count,)
    assert found.dtype == torch.float64
    assert bool(found.isfinite().all())
    assert bool((found >= 0).all())


@pytest.mark.parametrize("divergence", EVERY)
@settings(deadline=None)
@given(count=st.integers(2, 5), seed=st.integers(0, 1000), data=st.data())
def test_order_of_clients_does_not_matter(divergence, count, seed, data):
    group = clients(count, seed=seed)
    order = data.draw(st.permutations(range(count)))
    torch.testing.assert_close(divergence([group[i] for i in order]), divergence(group)[list(order)])


@pytest.mark.parametrize("divergence", EVERY)
def test_a_client_alone_does_not_diverge(divergence):
    assert divergence(clients(1)).tolist() == [0.0]


@pytest.mark.parametrize("divergence", EVERY)
def test_equal_clients_do_not_diverge(divergence):
    assert divergence(clients(1) * 3).tolist() == pytest.approx([0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("divergence", EVERY)
def test_the_odd_one_out_diverges_most(divergence):
    usual, odd = clients(2)
    found = divergence([usual, usual, odd, usual])
    assert found.argmax() == 2


@pytest.mark.parametrize("divergence", EVERY)
def test_dead_activations_give_finite_divergences(divergence):
    dead = statistics([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    other = statistics([[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    assert bool(divergence([dead, dead, other]).isfinite().all())
    assert divergence([dead, dead]).tolist() == [0, 0]


@pytest.mark.parametrize("divergence", EVERY)
def test_different_shapes_are_an_error(divergence):
    with pytest.raises(ValueError, match="differ in shape"):
        divergence([*clients(1), *clients(1, shape=(3, 2, 3))])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gaussian_equals_the_divergence_of_pytorch(direction):
    group = clients(4)
    found = GaussianDivergence(direction=direction, floor=1e-12)(group)
    for index, one in enumerate(group):
        others = [other for other in group if other is not one]
        mixture = MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(*one.mean.shape, len(others))),
            Normal(
                torch.stack([other.mean for other in others], -1),
                torch.stack([other.variance.sqrt() for other in others], -1),
            ),
        )
        pair = Normal(one.mean, one.variance.sqrt()), Normal(mixture.mean, mixture.stddev)
        ordered = pair if direction == "client-from-peers" else pair[::-1]
        expected = torch.distributions.kl_divergence(*ordered).mean()
        assert found[index].item() == pytest.approx(expected.item(), rel=1e-6)


def test_gaussian_hand_worked():
    # N(1, 1) from N(0, 1): half the squared distance of the means.
    group = [statistics([0.0], [1.0]), statistics([1.0], [1.0])]
    assert GaussianDivergence(floor=1e-12)(group).tolist() == pytest.approx([0.5, 0.5])


@settings(deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_gaussian_does_not_depend_on_the_scale_of_a_layer(scale, seed):
    group = clients(3, seed=seed)
    scaled = [ActivationStatistics(one.mean * scale, one.variance * scale**2, one.samples) for one in group]
    torch.testing.assert_close(GaussianDivergence()(scaled), GaussianDivergence()(group))


def test_gaussian_takes_flat_activations():
    assert GaussianDivergence()(clients(3, shape=(7,))).shape == (3,)


def test_gaussian_without_floor_is_an_error():
    with pytest.raises(ValueError, match="floor"):
        GaussianDivergence(floor=0)


def test_sum_is_mean_times_number():
    group = clients(3)
    for kind, number in ((GaussianDivergence, 12), (SpatialSoftmax, 3)):
        mean, total = kind(reduction="mean")(group), kind(reduction="sum")(group)
        torch.testing.assert_close(total, mean * number)


def test_softmax_hand_worked():
    # One channel, two positions: the softmax of (log p, log (1 - p)) is (p, 1 - p).
    def of(p):
        return statistics([[math.log(p), math.log(1 - p)]], [[1.0, 1.0]])

    client_from_peers = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    peers_from_client = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.8)
    group = [of(0.2), of(0.4), of(0.6)]  # the peers of the first have mean 0.5
    assert SpatialSoftmax(direction="client-from-peers")(group)[0].item() == pytest.approx(
        client_from_peers, abs=1e-7
    )
    assert SpatialSoftmax()(group)[0].item() == pytest.approx(peers_from_client, abs=1e-7)


def test_softmax_over_positions_ignores_the_energy_of_a_channel():
    group = clients(3)
    louder = [
        ActivationStatistics(one.mean + 5 * index, one.variance, one.samples)
        for index, one in enumerate(group)
    ]
    torch.testing.assert_close(SpatialSoftmax()(louder), SpatialSoftmax()(group))
    quiet_one, _, loudest = GaussianDivergence()(louder) / GaussianDivergence()(group)
    assert quiet_one > 2
    assert loudest > 2


def test_softmax_of_flat_activations_is_an_error():
    with pytest.raises(ValueError, match="use GaussianDivergence"):
        SpatialSoftmax()(clients(2, shape=(4,)))


def test_label_divergences_worked_by_hand():
    """Two clients of 4 and 12 images, two labels, a tenth spread evenly over both."""
    found = label_divergences(torch.tensor([[4, 0], [0, 12]]), smoothing=0.1)
    whole = (0.9 * 0.25 + 0.05, 0.9 * 0.75 + 0.05)
    first = 0.95 * math.log(0.95 / whole[0]) + 0.05 * math.log(0.05 / whole[1])
    second = 0.05 * math.log(0.05 / whole[0]) + 0.95 * math.log(0.95 / whole[1])
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([first, second])


histograms = st.integers(1, 5).flatmap(
    lambda labels: st.lists(
        st.lists(st.integers(0, 50), min_size=labels, max_size=labels).filter(any), min_size=1, max_size=6
    )
)


@settings(deadline=None)
@given(histograms, st.floats(1e-6, 0.99), st.data())
def test_label_divergences_are_finite_not_negative_and_do_not_depend_on_the_order(counts, smoothing, data):
    found = label_divergences(torch.tensor(counts), smoothing=smoothing)
    assert bool((found >= 0).all())
    assert bool((found <= math.log(len(counts[0]) / smoothing) + 1e-9).all())
    order = data.draw(st.permutations(range(len(counts))))
    shuffled = label_divergences(torch.tensor([counts[i] for i in order]), smoothing=smoothing)
    torch.testing.assert_close(shuffled, found[list(order)])


@pytest.mark.parametrize("counts", [[[3, 0, 5]], [[1, 2, 0], [10, 20, 0], [2, 4, 0]]])
def test_who_is_alone_or_has_the_mix_of_all_does_not_diverge_however_many_images_it_has(counts):
    assert label_divergences(torch.tensor(counts)).tolist() == pytest.approx([0.0] * len(counts), abs=1e-12)


@pytest.mark.parametrize("counts", [[1, 2], [[0, 0], [1, 2]], [[-1, 2]]])
def test_what_is_no_label_histogram_is_refused(counts):
    with pytest.raises(ValueError, match=r"give \[K, C\], none negative, and each client some"):
        label_divergences(torch.tensor(counts))


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_labels_are_smoothed_in_part(smoothing):
    with pytest.raises(ValueError, match=f"smoothing is {smoothing}: give a number above 0"):
        label_divergences(torch.tensor([[1, 2]]), smoothing=smoothing)
