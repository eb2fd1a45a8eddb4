import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation.prototypes import averaged_prototypes

CLASSES, FEATURES = 5, 3
LABELS = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=12)
CLIENTS = st.dictionaries(st.integers(0, 40), LABELS, min_size=1, max_size=6)
WEIGHTINGS = ("counts", "clients")


def features_of(labels, client):
    """Features [N, p] of one client's images, as a common extractor might make them."""
    stream = torch.Generator().manual_seed(client)
    return torch.randn(len(labels), FEATURES, generator=stream, dtype=torch.float64)


def given_by(clients):
    """What the clients with these labels send: means, classes and counts, by client id."""
    means, classes, counts = {}, {}, {}
    for client, labels in clients.items():
        features = features_of(labels, client)
        held = sorted(set(labels))
        rows = [[place for place, label in enumerate(labels) if label == each] for each in held]
        means[client] = torch.stack([features[row].mean(0) for row in rows])
        classes[client], counts[client] = held, [len(row) for row in rows]
    return means, classes, counts


def averaged(clients, weighting):
    return averaged_prototypes(*given_by(clients), total_classes=CLASSES, weighting=weighting)


@settings(deadline=None)
@given(clients=CLIENTS)
def test_weighted_by_counts_they_are_the_means_of_all_images_together(clients):
    means, known = averaged(clients, "counts")
    features = torch.cat([features_of(labels, client) for client, labels in clients.items()])
    labels = torch.tensor([label for own in clients.values() for label in own])
    for each in range(CLASSES):
        assert bool(known[each]) == bool((labels == each).any())
        if known[each]:
            torch.testing.assert_close(means[each], features[labels == each].mean(0))


@settings(deadline=None)
@given(clients=CLIENTS)
def test_unweighted_they_are_the_plain_means_over_those_that_hold_a_class(clients):
    means, known = averaged(clients, "clients")
    given_means, classes, _ = given_by(clients)
    for each in range(CLASSES):
        of_holders = [given_means[k][held.index(each)] for k, held in classes.items() if each in held]
        assert bool(known[each]) == bool(of_holders)
        if of_holders:
            torch.testing.assert_close(means[each], sum(of_holders) / len(of_holders))


@settings(deadline=None)
@given(clients=CLIENTS, weighting=st.sampled_from(WEIGHTINGS), order=st.randoms(use_true_random=False))
def test_the_order_of_the_clients_does_not_matter(clients, weighting, order):
    names = list(clients)
    order.shuffle(names)
    expected = averaged(clients, weighting)
    found = averaged({client: clients[client] for client in names}, weighting)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@settings(deadline=None)
@given(clients=CLIENTS, weighting=st.sampled_from(WEIGHTINGS))
def test_a_class_that_nobody_holds_is_unknown_and_zero(clients, weighting):
    means, known = averaged(clients, weighting)
    assert means.isfinite().all()
    assert not means[~known].any()
    assert known.tolist() == [any(each in own for own in clients.values()) for each in range(CLASSES)]


def test_hand_worked_means():
    means = {3: torch.tensor([[1.0], [4.0]]), 8: torch.tensor([[7.0]])}
    given_classes, counts = {3: (0, 2), 8: (0,)}, {3: (1, 5), 8: (3,)}
    by_counts, known = averaged_prototypes(means, given_classes, counts, total_classes=3, weighting="counts")
    alike, _ = averaged_prototypes(means, given_classes, counts, total_classes=3, weighting="clients")
    assert by_counts.tolist() == [[5.5], [0.0], [4.0]]
    assert alike.tolist() == [[4.0], [0.0], [4.0]]
    assert known.tolist() == [True, False, True]
    assert by_counts.dtype == torch.float32


def test_what_is_given_does_not_change():
    means = {0: torch.ones(1, 2, requires_grad=True)}
    found, _ = averaged_prototypes(means, {0: (1,)}, {0: (2,)}, total_classes=2, weighting="counts")
    found += 1
    assert means[0].tolist() == [[1.0, 1.0]]
    assert not found.requires_grad


ONES = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("means", "classes", "counts", "message"),
    [
        ({}, {}, {}, "no client"),
        ({0: ONES}, {1: (0, 1)}, {0: (1, 1)}, r"from clients \[0\], but classes or counts of \[1\]"),
        ({0: ONES}, {0: (0, 1)}, {}, r"from clients \[0\], but classes or counts of \[\]"),
        ({0: ONES}, {0: (1, 1)}, {0: (1, 1)}, r"client 0 holds \[1, 1\]: each class once, from 0 to 3"),
        ({0: ONES}, {0: (0, 4)}, {0: (1, 1)}, r"client 0 holds \[0, 4\]"),
        ({0: ONES}, {0: (-1, 0)}, {0: (1, 1)}, r"client 0 holds \[-1, 0\]"),
        ({0: ONES}, {0: (0, 1, 2)}, {0: (1, 1, 1)}, r"client 0 has means \(2, 3\) for 3 classes"),
        ({0: ONES, 1: ONES[:, :2]}, {0: (0, 1), 1: (0, 1)}, {0: (1, 1), 1: (1, 1)}, "client 1 has means"),
        ({0: ONES}, {0: (0, 1)}, {0: (1,)}, r"client 0 has counts \[1\] for the classes \[0, 1\]"),
        ({0: ONES}, {0: (0, 1)}, {0: (1, 0)}, r"client 0 has counts \[1, 0\]"),
    ],
)
def test_what_does_not_fit_together_is_refused(means, classes, counts, message):
    with pytest.raises(ValueError, match=message):
        averaged_prototypes(means, classes, counts, total_classes=4, weighting="counts")
