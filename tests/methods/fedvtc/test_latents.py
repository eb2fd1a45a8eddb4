import pytest
import torch

from huscf_flwr.methods.fedvtc.latents import GlobalStatistics, whitened

MEANS = torch.tensor([[1.0, 2.0], [0.0, 0.0], [5.0, 8.0]])
KNOWN = torch.tensor([True, False, True])
COMMON = torch.tensor([0.5, 0.0])
BY_CLASS = torch.tensor([[0.5, 0.0], [0.0, 0.0], [0.0, 2.0]])


@pytest.fixture(params=[COMMON, BY_CLASS], ids=["of the client", "of the class"])
def statistics(request):
    return GlobalStatistics(MEANS, KNOWN, request.param)


def test_only_known_classes_cross_and_nothing_is_lost(statistics):
    tensors = statistics.tensors()
    assert tensors["classes"].tolist() == [0, 2]
    assert tensors["means"].shape == (2, 2)
    assert len(tensors["deviations"]) == 2
    back = GlobalStatistics.of_tensors(tensors, 3, torch.device("cpu"))
    assert torch.equal(back.means, statistics.means)
    assert torch.equal(back.known, statistics.known)
    assert torch.equal(back.deviations, statistics.deviations)


def test_vectors_are_drawn_from_the_distribution_of_their_class(statistics):
    labels = torch.tensor([0, 2]).repeat_interleave(4000)
    first, last = statistics.drawn(labels, torch.Generator().manual_seed(0)).split(4000)
    for drawn, label in ((first, 0), (last, 2)):
        deviations = statistics.deviations_of(torch.tensor([label])).expand(1, 2)[0]
        torch.testing.assert_close(drawn.mean(0), MEANS[label], atol=0.15, rtol=0)
        torch.testing.assert_close(drawn.std(0), deviations, atol=0.1, rtol=0)


def test_an_unknown_class_is_drawn_around_the_middle_of_the_known_ones(statistics):
    drawn = statistics.drawn(torch.full((4000,), 1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([3.0, 5.0]), atol=0.1, rtol=0)


def test_vectors_are_around_the_global_means_and_keep_their_spread():
    """Where a client's own class mean is not the global one, and where the global one is not known."""
    statistics = GlobalStatistics(MEANS, KNOWN, COMMON)
    labels = torch.tensor([0, 0, 1])
    offsets = torch.tensor([[-2.0, -1.0], [2.0, 1.0], [0.5, 0.0]])
    own = torch.tensor([[12.0, 1.0], [7.0, 7.0], [0.0, 0.0]])
    vectors = statistics.around_means(offsets, labels, own)
    assert vectors.tolist() == [[-1.0, 1.0], [3.0, 3.0], [7.5, 7.0]]


def test_drawn_vectors_are_offsets_from_the_means(statistics):
    labels = torch.tensor([0, 2, 2])
    drawn = statistics.drawn(labels, torch.Generator().manual_seed(3), spread=1.5)
    offsets = statistics.offsets(labels, torch.Generator().manual_seed(3), spread=1.5)
    assert torch.equal(drawn, MEANS[labels] + offsets)


def centred(labels, width, seed=0):
    """Offsets of features that hang together, with a mean of zero in each class."""
    stream = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=stream, dtype=torch.float64)
    features = torch.randn(len(labels), width, generator=stream, dtype=torch.float64) @ mixing
    for label in labels.unique():
        features[labels == label] -= features[labels == label].mean(0)
    return features


def test_whitened_offsets_spread_equally_and_do_not_hang_together():
    labels = torch.tensor([0] * 40 + [3] * 60)
    found = whitened(centred(labels, 8), labels, directions=5, spread=2.0)
    assert found.shape == (100, 8)
    for label in (0, 3):
        own = found[labels == label]
        expected = torch.zeros(8, 8, dtype=torch.float64)
        expected[:5, :5] = 4.0 * torch.eye(5, dtype=torch.float64)
        torch.testing.assert_close(own.T @ own / len(own), expected)
        torch.testing.assert_close(own.mean(0), torch.zeros(8, dtype=torch.float64))


def test_the_first_components_are_those_that_tell_most_of_an_image():
    """With as many directions as features, nothing is lost; with fewer, least."""
    labels = torch.zeros(80, dtype=torch.long)
    offsets = centred(labels, 6)
    values, vectors = torch.linalg.eigh(offsets.T @ offsets / 80)
    for directions in (1, 3, 6):
        found = whitened(offsets, labels, directions=directions, spread=1.0)[:, :directions]
        told = found.T @ offsets / 80
        torch.testing.assert_close((told @ told.T).diagonal(), values.flip(0)[:directions])
        torch.testing.assert_close((told @ vectors.flip(1)).abs()[0, 0], values[-1].sqrt())


def test_a_class_has_no_more_directions_than_a_quarter_of_its_images_and_than_it_spreads_in():
    labels = torch.tensor([0] * 9 + [1] * 3 + [2] * 40)
    offsets = centred(labels, 6)
    offsets[labels == 2] = offsets[labels == 2][:, :1] * torch.ones(6, dtype=torch.float64)
    found = whitened(offsets, labels, directions=16, spread=1.0)
    assert [(found[labels == y] != 0).any(0).tolist() for y in (0, 1, 2)] == [
        [True, True, False, False, False, False],
        [True, False, False, False, False, False],
        [True, False, False, False, False, False],
    ]


def test_images_that_do_not_spread_or_by_rounding_alone_have_no_directions():
    labels = torch.tensor([4] * 8)
    for rounding in (0.0, 1e-6):
        offsets = rounding * centred(labels, 3)
        assert not whitened(offsets, labels, directions=2, spread=1.0).any()


def test_features_that_are_not_finite_stay_so():
    offsets = torch.zeros(8, 3)
    offsets[2, 1] = float("nan")
    assert whitened(offsets, torch.tensor([4] * 8), directions=2, spread=1.0).isnan().any()


def test_whitened_offsets_do_not_depend_on_the_signs_that_a_library_chooses(monkeypatch):
    labels = torch.tensor([0] * 20)
    offsets = centred(labels, 5)
    found = whitened(offsets, labels, directions=4, spread=1.0)
    svd = torch.linalg.svd

    def flipped(matrix, *, full_matrices):
        left, sizes, right = svd(matrix, full_matrices=full_matrices)
        return -left, sizes, -right

    monkeypatch.setattr(torch.linalg, "svd", flipped)
    assert torch.equal(whitened(offsets, labels, directions=4, spread=1.0), found)
