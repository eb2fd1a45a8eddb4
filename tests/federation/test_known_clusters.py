"""Rounds that see only some clients: points in the plane, worked by hand, and properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation import (
    Clustering,
    FeatureSpace,
    KMeans,
    KnownClusters,
    SilhouetteKMeans,
    match_clusters,
)
from huscf_flwr.federation.known_clusters import find_among_some, found_among_all

AXES = FeatureSpace()
"""Features are the means themselves."""
WEST, EAST, NORTH = (0.0, 0.0), (10.0, 0.0), (0.0, 10.0)


def point(*coordinates):
    return torch.tensor(coordinates, dtype=torch.float64)


def near(place, step=0.0):
    """A point within one of ``place``; another one for each step."""
    x, y = place
    return point(x + 0.4 * step, y + 0.3 * (step % 2))


def find(means, previous=None, told_apart=(), places=None, *, clusterer=None, space=AXES, smallest=1):
    means = {client: torch.as_tensor(mean, dtype=torch.float64) for client, mean in means.items()}
    known = KnownClusters(told_apart, {name: point(*place) for name, place in (places or {}).items()})
    clusterer = clusterer or SilhouetteKMeans()
    return find_among_some(means, space, previous or {}, known, clusterer, seed=0, smallest=smallest)


def test_a_round_that_sees_all_names_groups_as_match_clusters_does():
    means = {2: point(0, 0), 5: point(4, 0), 9: point(6, 0)}
    clustering, previous = Clustering((0, 1, 1), 0.5), {2: 4, 5: 4, 9: 7}
    features = torch.stack([*means.values()])
    found = found_among_all(means, features, clustering, previous)
    assert found.features is features
    assert found.clusters == match_clusters(previous, {2: 0, 5: 1, 9: 1})
    assert (found.silhouette, found.told_apart) == (0.5, {2, 5, 9})
    assert {name: place.tolist() for name, place in found.places.items()} == {4: [0, 0], 7: [5, 0]}
    together = found_among_all(means, features, Clustering((0, 0, 0), None), previous)
    assert (together.told_apart, together.places) == (frozenset(), {})


def test_the_first_round_knows_nothing():
    found = find({3: near(WEST), 4: near(WEST, 1), 5: near(EAST), 6: near(EAST, 1)})
    assert found.clusters == {3: 0, 4: 0, 5: 1, 6: 1}
    assert found.told_apart == {3, 4, 5, 6}
    assert found.places.keys() == {0, 1}
    assert found.places[0].equal((near(WEST) + near(WEST, 1)) / 2)


def test_one_of_a_kind_is_told_apart_if_its_cluster_is_known():
    """Without the stand-in of its cluster, one client is no group."""
    means = {0: near(WEST), 1: near(WEST, 1), 2: near(WEST, 2), 3: near(EAST)}
    assert set(find(means).clusters.values()) == {0}
    previous = {0: 0, 1: 0, 7: 1, 8: 1}
    found = find(means, previous, previous, {0: WEST, 1: EAST})
    assert found.clusters == {0: 0, 1: 0, 2: 0, 3: 1}
    assert found.told_apart == {0, 1, 2, 3}


def test_a_client_that_nobody_told_apart_goes_where_it_belongs():
    """Client 3 came into cluster 0 when there was no other; it has no say in what a group is called."""
    means = {0: near(WEST), 3: near(EAST), 4: near(EAST, 1), 5: near(EAST, 2)}
    found = find(means, {0: 0, 1: 0, 3: 0, 7: 1}, {0, 1, 7}, {0: WEST, 1: EAST})
    assert found.clusters == {0: 0, 3: 1, 4: 1, 5: 1}


class Together:
    """Finds a single group."""

    def __call__(self, features, *, seed):
        return Clustering((0,) * len(features), None)


@pytest.mark.parametrize(
    ("previous", "there", "clusters"),
    [
        # One of several from cluster 1: it stays. Of clusters 0 and 1, two each: the round could tell.
        ({0: 0, 1: 0, 2: 1, 3: 1}, (0, 1, 2), {0: 0, 1: 0, 2: 1}),
        ({0: 0, 1: 0, 2: 1, 3: 1, 4: 1, 5: 0, 6: 0}, (0, 1, 5, 2, 3), {0: 0, 1: 0, 5: 0, 2: 0, 3: 0}),
        # The only one that there is of cluster 1 goes.
        ({0: 0, 1: 0, 2: 1, 4: 0}, (0, 1, 2), {0: 0, 1: 0, 2: 0}),
    ],
)
def test_a_cluster_is_left_only_in_a_round_that_saw_enough_of_it(previous, there, clusters):
    found = find(dict.fromkeys(there, WEST), previous, previous, clusterer=Together())
    assert found.clusters == clusters
    assert found.told_apart == frozenset()


def test_a_client_that_stays_against_what_was_found_was_not_found():
    """Three domains: the only one of cluster 2 was put to cluster 0."""
    previous = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2}

    def clusterer(features, *, seed):
        return Clustering((0, 0, 1, 1, 0), 0.5)

    found = find(dict.fromkeys(range(5), WEST), previous, previous, clusterer=clusterer)
    assert found.clusters == {0: 0, 1: 0, 2: 1, 3: 1, 4: 2}
    assert found.told_apart == {0, 1, 2, 3}
    assert found.places.keys() == {0, 1}


def test_a_group_of_newcomers_gets_the_name_of_the_cluster_that_it_is():
    previous = {0: 4, 1: 4, 7: 2, 8: 2}
    means = {0: near(WEST), 1: near(WEST, 1), 5: near(EAST), 6: near(EAST, 1)}
    found = find(means, previous, previous, {4: WEST, 2: EAST})
    assert found.clusters == {0: 4, 1: 4, 5: 2, 6: 2}


def test_a_group_that_is_no_known_cluster_is_a_new_one():
    previous = {0: 0, 1: 0, 7: 1, 8: 1}
    means = {0: near(WEST), 1: near(WEST, 1), 5: near(NORTH), 6: near(NORTH, 1)}
    found = find(means, previous, previous, {0: WEST, 1: EAST})
    assert found.clusters == {0: 0, 1: 0, 5: 2, 6: 2}
    assert found.places.keys() == {0, 1, 2}


numbers = st.floats(-1e3, 1e3, allow_nan=False)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(x=numbers, y=numbers, order=st.permutations((0, 1, 2)))
def test_newcomers_alone_keep_the_names_however_far_all_places_have_moved(x, y, order):
    """Three clusters in a triangle that has no symmetry, and none of those that were seen before."""
    corners = [(0.0, 0.0), (10.0, 0.0), (3.0, 7.0)]
    moved = [(a + x, b + y) for a, b in corners]
    means = {10 + k: near(moved[name], k // 3) for k, name in enumerate((*order, *order, *order))}
    previous = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
    found = find(means, previous, previous, dict(enumerate(corners)))
    assert found.clusters == {10 + k: name for k, name in enumerate((*order, *order, *order))}


def test_newcomers_of_one_cluster_are_not_taken_for_two_because_two_were_asked_for():
    """K-means splits them if it must; that is not how the known clusters lie to each other."""
    means = {10 + k: near(EAST, k) for k in range(4)}
    previous = {0: 0, 1: 0, 2: 1, 3: 1}
    found = find(means, previous, previous, {0: WEST, 1: EAST}, clusterer=KMeans(2))
    assert set(found.clusters.values()) == {1}
    assert found.told_apart == frozenset()


def test_places_move_half_as_far_as_the_only_cluster_that_shows_it():
    """Client 0 is six to the right of its cluster's place; so the stand-in of cluster 1 is three further."""
    seen = []

    class Watching(Together):
        def recall(self, features, places, *, elsewhere, seed):
            seen.append((features.tolist(), places.tolist(), elsewhere))
            return Clustering((0,) * (len(features) + len(places)), None)

    means = {0: (6.0, 0.0), 3: (12.0, 0.0)}
    places = {0: WEST, 1: EAST, 2: (0.0, 99.0)}
    find(means, {0: 0, 2: 1, 4: 2}, {0, 2}, places, clusterer=Watching())
    assert seen == [([[6, 0], [12, 0]], [[3, 0], [13, 0]], 1)]


def test_a_cluster_that_nobody_is_near_has_no_stand_in():
    """North would be an outlier; and of the three clusters that were asked for, one is not here."""
    previous = {0: 0, 1: 0, 7: 1, 8: 1, 9: 2}
    means = {0: near(WEST), 1: near(WEST, 1), 2: near(WEST, 2), 7: near(EAST)}
    for clusterer in (SilhouetteKMeans(), KMeans(3)):
        found = find(means, previous, previous, {0: WEST, 1: EAST, 2: NORTH}, clusterer=clusterer)
        assert found.clusters == {0: 0, 1: 0, 2: 0, 7: 1}
        assert found.told_apart == {0, 1, 2, 7}


def halves(features, *, seed):
    """A clusterer of somebody's own, which knows nothing of places."""
    return Clustering(tuple(int(x > 5) for x, _ in features.tolist()), None)


def test_any_clusterer_will_do():
    """What it finds stays, and a group of newcomers has the name of the place that is nearest."""
    previous = {0: 0, 1: 0, 7: 1, 8: 1}
    means = {0: near(WEST), 1: near(WEST, 1), 5: near(EAST), 6: near(EAST, 1)}
    found = find(means, previous, previous, {0: WEST, 1: EAST}, clusterer=halves)
    assert found.clusters == {0: 0, 1: 0, 5: 1, 6: 1}
    places = {0: WEST, 1: (30.0, 0.0)}  # farther from the newcomers than these are from the others
    assert find(means, previous, previous, places, clusterer=halves).clusters == {0: 0, 1: 0, 5: 2, 6: 2}


def test_distances_are_those_of_features():
    """In units of the spread, east and west are one place, and what is left are north and south."""
    space = FeatureSpace(directions=torch.eye(2, dtype=torch.float64), spread=point(1e6, 1.0))
    means = {0: near(WEST), 1: near(NORTH), 2: near(EAST), 3: near((10.0, 10.0))}
    assert find(means, space=space).clusters == {0: 0, 1: 1, 2: 0, 3: 1}


def test_places_are_where_clusters_were_told_apart_last():
    previous = {0: 0, 1: 0, 7: 1, 8: 1, 9: 2}
    places = {0: WEST, 1: EAST, 2: NORTH, 3: (99.0, 99.0)}
    means = {0: (0.5, 0.0), 1: (1.5, 0.0), 7: (10.0, 1.0), 8: (10.0, 2.0)}
    found = find(means, previous, previous, places)
    assert {name: tuple(place.tolist()) for name, place in found.places.items()} == {
        0: (1.0, 0.0),
        1: (10.0, 1.5),
        2: NORTH,  # nobody of it came; and cluster 3 has no clients left
    }
    alone = find({0: (0.5, 0.0)}, previous, previous, {0: WEST, 1: EAST}, clusterer=Together())
    assert alone.places[0].equal(point(*WEST))


def test_before_anybody_was_told_apart_names_begin_anew():
    """All that were seen are in one cluster, for want of anything better: its name is not reserved."""
    means = {4: near(WEST), 5: near(WEST, 1), 6: near(EAST), 7: near(EAST, 1)}
    found = find(means, {0: 0, 1: 0}, ())
    assert found.clusters == {4: 0, 5: 0, 6: 1, 7: 1}


labels_of_six = st.lists(st.integers(0, 2), min_size=6, max_size=6)


@settings(deadline=None, max_examples=50)
@given(
    before=labels_of_six,
    there=st.sets(st.integers(0, 5), min_size=1),
    sure=st.sets(st.integers(0, 5)),
    labels=labels_of_six,
)
def test_whatever_is_found_everybody_who_is_there_has_a_cluster_and_nobody_else(before, there, sure, labels):
    previous = dict(enumerate(before))

    def clusterer(features, *, seed):
        return Clustering(tuple(labels[: len(features)]), None)

    found = find(dict.fromkeys(there, WEST), previous, sure, clusterer=clusterer)
    assert found.clusters.keys() == there
    assert found.told_apart <= there
    assert found.places.keys() <= {*found.clusters.values(), *previous.values()}


def told(*labels):
    """A clusterer that finds these groups among the clients; stand-ins are groups of their own."""

    def clusterer(features, *, seed):
        return Clustering(labels, 0.5)

    return clusterer


@pytest.mark.parametrize(
    ("means", "labels", "previous", "clusters", "told_apart"),
    [
        # Two in the east are too few; the north is nearer to them than the west.
        (
            {0: WEST, 1: WEST, 2: WEST, 3: (9, 4), 4: (9, 5), 5: (9, 9), 6: (9, 9), 7: (9, 9)},
            (0, 0, 0, 1, 1, 2, 2, 2),
            {},
            {0: 0, 1: 0, 2: 0, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2},
            set(range(8)),
        ),
        # None is large enough: all are one, and nobody was told apart.
        ({0: WEST, 1: WEST, 2: EAST}, (0, 0, 1), {}, {0: 0, 1: 0, 2: 0}, set()),
        # Who is absent counts: client 2 has two more in its cluster.
        (
            {0: WEST, 1: WEST, 3: WEST, 2: EAST},
            (0, 0, 1, 0),
            {0: 0, 1: 0, 3: 0, 2: 1, 7: 1, 8: 1},
            {0: 0, 1: 0, 3: 0, 2: 1},
            {0, 1, 2, 3},
        ),
    ],
)
def test_a_cluster_that_is_too_small_joins_the_nearest_large_one(
    means, labels, previous, clusters, told_apart
):
    found = find(means, previous, previous, clusterer=told(*labels), smallest=3)
    assert found.clusters == clusters
    assert found.told_apart == told_apart
    assert found.places.keys() == {clusters[client] for client in told_apart}
