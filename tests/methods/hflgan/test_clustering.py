"""Clusters of clients by the directions in which they have moved."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from huscf_flwr.methods.hflgan.clustering import change, clusters_of, cosines, joined


def changes_around(directions, seed=0, noise=0.1):
    """By client, a change of two tensors near the direction with that number."""
    stream = torch.Generator().manual_seed(seed)
    centres = torch.randn(max(directions) + 1, 30, generator=stream, dtype=torch.float64)
    found = {}
    for client, direction in enumerate(directions):
        near = centres[direction] + noise * torch.randn(30, generator=stream, dtype=torch.float64)
        length = 0.1 + torch.rand((), generator=stream)
        found[client] = {"a": length * near[:10].view(2, 5), "b": length * near[10:]}
    return found


def test_a_change_is_that_of_the_discriminators_weights():
    names = ("generator.0.main.weight", "discriminator.0.main.weight", "discriminator.0.norm.running_var")
    before = {name: torch.ones(2, 2) for name in (*names, "discriminator.0.norm.num_batches_tracked")}
    after = {name: torch.full((2, 2), 3.5) for name in before}
    found = change(before, after)
    assert found.keys() == {"discriminator.0.main.weight"}
    assert found["discriminator.0.main.weight"].tolist() == [[2.5, 2.5], [2.5, 2.5]]


def test_cosines_by_hand():
    """(3, 4) and (4, 3) have 24 / 25; who has not moved is at right angles to all."""
    found = cosines(
        {
            1: {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])},
            2: {"a": torch.tensor([40.0]), "b": torch.tensor([30.0])},
            7: {"a": torch.tensor([0.0]), "b": torch.tensor([0.0])},
        }
    )
    torch.testing.assert_close(
        found, torch.tensor([[1, 0.96, 0], [0.96, 1, 0], [0, 0, 0]], dtype=torch.float64)
    )


def test_cosines_do_not_depend_on_the_order_of_tensors():
    changes = changes_around([0, 1, 0])
    turned = {client: dict(reversed(tensors.items())) for client, tensors in changes.items()}
    assert torch.equal(cosines(turned), cosines(changes))


@given(st.lists(st.integers(0, 2), min_size=2, max_size=7), st.integers(0, 50))
def test_clients_that_move_alike_are_together(directions, seed):
    found = clusters_of(cosines(changes_around(directions, seed)), len(set(directions)), seed=seed).labels
    assert len({*zip(directions, found, strict=True)}) == len(set(directions)) == len(set(found))


def partition(labels, clients):
    return {frozenset(k for k, own in zip(clients, labels, strict=True) if own == name) for name in labels}


def test_clusters_do_not_depend_on_the_order_of_clients():
    changes = changes_around([0, 1, 0, 1])
    expected = {frozenset({0, 2}), frozenset({1, 3})}
    for order in permutations(range(4)):
        moved = {place: changes[client] for place, client in enumerate(order)}
        assert partition(clusters_of(cosines(moved), 2, seed=0).labels, order) == expected


def test_there_are_fewer_clusters_if_there_are_fewer_clients():
    assert len(set(clusters_of(cosines(changes_around([0, 1])), 5, seed=0).labels)) == 2
    assert clusters_of(cosines(changes_around([0])), 2, seed=0).labels == (0,)


def test_distances_that_k_means_sees_are_those_of_the_directions():
    """Its silhouette is that of the unit vectors themselves."""
    changes = changes_around([0, 1, 0, 1, 1], noise=0.5)
    found = clusters_of(cosines(changes), 2, seed=0)
    rows = torch.stack([torch.cat([each["a"].flatten(), each["b"]]) for each in changes.values()])
    units = rows / rows.norm(dim=1, keepdim=True)
    assert found.silhouette == pytest.approx(silhouette_score(units.numpy(), found.labels), rel=1e-6)


def test_newcomers_join_whom_they_are_most_like():
    alike = torch.tensor([[1, 0.2, 0.9, 0.99], [0.2, 1, 0.3, 0.4], [0.9, 0.3, 1, 0.1], [0.99, 0.4, 0.1, 1]])
    found = joined(alike, [3, 5, 8, 9], {5: 1, 8: 4, 100: 7})
    assert found == {3: 4, 9: 1}
