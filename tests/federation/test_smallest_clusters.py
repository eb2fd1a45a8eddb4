"""Of fewer clients than the smallest cluster has, nothing is averaged."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation import (
    Clustering,
    KnownClusters,
)
from tests.federation.drawn_rounds import after_round, blocks_of, statistics_of
from tests.federation.modes import corrected


def told(*labels):
    """A clusterer of a user's own: it finds these groups, whatever it sees."""

    def clusterer(features, *, seed):
        return Clustering(labels, 0.5)

    return clusterer


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=7), st.integers(1, 4))
def test_no_blocks_of_fewer_clients_are_averaged_whatever_a_clusterer_finds(labels, smallest):
    averaging = corrected(clusterer=told(*labels), smallest=smallest)
    result = after_round(averaging, 1, [0] * len(labels))
    sizes = {name: list(result.clusters.values()).count(name) for name in result.clusters.values()}
    assert min(sizes.values()) >= smallest
    assert result.cluster_blocks.keys() == sizes.keys()
    for name in sizes:
        assert sum(
            result.cluster_weights[k] for k, own in result.clusters.items() if own == name
        ) == pytest.approx(1)


def test_a_cluster_of_which_too_few_are_there_has_no_average():
    """Of cluster 1, clients 5 and 6 are absent."""
    known = KnownClusters((0, 1, 2, 3, 5, 6), {})
    result = after_round(
        corrected(clusterer=told(0, 0, 0, 1), smallest=3),
        4,
        [0, 0, 0, 1],
        previous={0: 0, 1: 0, 2: 0, 3: 1, 5: 1, 6: 1},
        known=known,
    )
    assert result.clusters == {0: 0, 1: 0, 2: 0, 3: 1}
    assert result.cluster_blocks.keys() == {0}
    assert result.cluster_weights[3] == 0
    assert result.global_weights[3] > 0


def test_a_round_of_too_few_has_no_average_at_all():
    body = {"shared": {"w": torch.ones(2)}}
    result = corrected(smallest=3).after_round(
        2,
        statistics=statistics_of([0, 1]),
        samples={0: 1, 1: 1},
        previous_clusters={0: 0, 5: 1},
        client_blocks=blocks_of(2),
        bodies={4: body},
        seed=0,
    )
    assert (result.clusters, result.cluster_blocks, result.global_weights) == ({0: 0}, {}, {0: 0})
    assert result.bodies == {4: body}
