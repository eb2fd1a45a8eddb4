import pytest
import torch

from huscf_flwr.methods.fedvtc.latents import GlobalStatistics

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


def test_centred_features_have_the_global_means_and_keep_their_spread():
    """Where a client's own class mean is not the global one, and where the global one is not known."""
    statistics = GlobalStatistics(MEANS, KNOWN, COMMON)
    labels = torch.tensor([0, 0, 1])
    features = torch.tensor([[10.0, 0.0], [14.0, 2.0], [7.0, 7.0]])
    own = torch.tensor([[12.0, 1.0], [7.0, 7.0], [0.0, 0.0]])
    centred = statistics.centred_on(features, labels, own)
    assert centred.tolist() == [[-1.0, 1.0], [3.0, 3.0], [7.0, 7.0]]
