import pytest
import torch

from huscf_flwr.federation.feature_statistics import FeatureStatistics, global_variance, within_variance
from huscf_flwr.federation.prototypes import averaged_prototypes


def described(features, labels, *, per_class=False):
    classes = sorted(set(labels.tolist()))
    own = [features[labels == each] for each in classes]
    spread = (
        torch.stack([within_variance(each, torch.zeros(len(each), dtype=torch.int64)) for each in own])
        if per_class
        else within_variance(features, labels)
    )
    means = torch.stack([each.mean(0) for each in own])
    return FeatureStatistics(means, classes, [len(each) for each in own], spread.sqrt())


def means_of(clients, classes):
    return averaged_prototypes(
        {client: each.means for client, each in clients.items()},
        {client: each.classes for client, each in clients.items()},
        {client: each.counts for client, each in clients.items()},
        total_classes=classes,
        weighting="counts",
    )[0]


@pytest.fixture
def union():
    stream = torch.Generator().manual_seed(3)
    labels = torch.randint(4, (60,), generator=stream)
    features = torch.randn(60, 5, generator=stream, dtype=torch.float64) + labels[:, None]
    parts = torch.randint(3, (60,), generator=stream)
    return features, labels, parts


def test_within_variance_by_hand():
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0], [5.0, 7.0]])
    labels = torch.tensor([1, 1, 3])
    assert within_variance(features, labels).tolist() == pytest.approx([2 / 3, 0.0])


@pytest.mark.parametrize("per_class", [False, True])
def test_by_the_law_of_total_variance_parts_give_what_their_union_gives(union, per_class):
    features, labels, parts = union
    clients = {k: described(features[parts == k], labels[parts == k], per_class=per_class) for k in range(3)}
    found = global_variance(clients, means_of(clients, 4), rule="total", per_class=per_class)
    if not per_class:
        torch.testing.assert_close(found, within_variance(features, labels))
        return
    for each in range(4):
        torch.testing.assert_close(found[each], features[labels == each].var(0, correction=0))


def two_clients():
    """Two clients with one feature and one class: means 0 and 4, deviations 1 and 3, one and three images."""
    return {
        0: FeatureStatistics(torch.tensor([[0.0]]), [0], [1], torch.tensor([1.0])),
        1: FeatureStatistics(torch.tensor([[4.0]]), [0], [3], torch.tensor([3.0])),
    }


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("within", (1 * 1 + 3 * 9) / 4),
        ("total", (1 * 1 + 3 * 9) / 4 + (1 * 9 + 3 * 1) / 4),
        ("squared-counts", (1 * 1 + 9 * 9) / 10),
    ],
)
def test_each_rule_by_hand(rule, expected):
    clients = two_clients()
    found = global_variance(clients, means_of(clients, 2), rule=rule, per_class=False)
    assert found.tolist() == pytest.approx([expected])


def test_a_class_that_nobody_tells_of_has_no_variance():
    clients = {
        client: FeatureStatistics(each.means, each.classes, each.counts, each.spread[None])
        for client, each in two_clients().items()
    }
    found = global_variance(clients, means_of(clients, 2), rule="within", per_class=True)
    assert found.tolist() == [[pytest.approx(7.0)], [0.0]]


def test_a_client_that_tells_of_no_class_changes_nothing():
    clients = two_clients()
    silent = FeatureStatistics(torch.zeros(0, 1), [], [], torch.tensor([9.0]))
    means = means_of(clients, 2)
    expected = global_variance(clients, means, rule="total", per_class=False)
    assert torch.equal(
        global_variance({**clients, 2: silent}, means, rule="total", per_class=False), expected
    )
    with pytest.raises(ValueError, match="no client tells of a class"):
        global_variance({2: silent}, means, rule="total", per_class=False)
