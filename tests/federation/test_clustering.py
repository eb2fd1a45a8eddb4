import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation.clustering import KMeans, RecallingClusterer, SilhouetteKMeans, match_clusters


def groups(sizes, *, distance=6.0, features=40, seed=0):
    """Clients around centres in random directions, with noise of norm one."""
    stream = torch.Generator().manual_seed(seed)
    rows = []
    for size in sizes:
        centre = torch.randn(features, generator=stream, dtype=torch.float64)
        noise = torch.randn(size, features, generator=stream, dtype=torch.float64)
        rows.append(distance * centre / centre.norm() + noise / features**0.5)
    return torch.cat(rows)


def expected_labels(sizes):
    return tuple(itertools.chain.from_iterable([i] * size for i, size in enumerate(sizes)))


@pytest.mark.parametrize("sizes", [(4, 4), (7, 3), (3, 3, 3, 3), (20, 5, 5), (2, 2, 2)])
def test_both_find_clear_groups(sizes):
    features = groups(sizes)
    given_k, chosen_k = KMeans(len(sizes))(features, seed=1), SilhouetteKMeans()(features, seed=1)
    assert given_k.labels == chosen_k.labels == expected_labels(sizes)
    assert given_k.silhouette == chosen_k.silhouette
    assert given_k.silhouette > 0.5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("clients", [3, 5, 8, 40])
def test_one_group_stays_one_cluster(clients, seed):
    found = SilhouetteKMeans()(groups([clients], seed=seed), seed=0)
    assert found.labels == (0,) * clients
    assert found.silhouette is None


def test_one_group_with_very_different_clients_stays_one_cluster():
    # A client with few samples has a noisy mean: spreads are one to four times the smallest.
    stream = torch.Generator().manual_seed(3)
    spread = torch.tensor([1.0, 1, 1, 1, 2, 2, 4, 4], dtype=torch.float64)
    features = spread[:, None] * torch.randn(8, 500, generator=stream, dtype=torch.float64)
    assert set(SilhouetteKMeans()(features, seed=0).labels) == {0}


def test_an_outlier_joins_the_nearest_cluster_unless_told_otherwise():
    features = torch.cat([groups((4, 4)), 4 * torch.ones(1, 40)])
    nearest = (features[-1] - features[:-1]).norm(dim=1).argmin().item() // 4
    assert SilhouetteKMeans()(features, seed=0).labels == (0, 0, 0, 0, 1, 1, 1, 1, nearest)
    assert SilhouetteKMeans(smallest=1)(features, seed=0).labels.count(2) == 1


def test_an_outlier_alone_does_not_make_clusters():
    features = torch.cat([groups([7]), groups([1], distance=20, seed=9)])
    assert set(SilhouetteKMeans()(features, seed=0).labels) == {0}
    assert SilhouetteKMeans(smallest=1)(features, seed=0).labels == (0,) * 7 + (1,)


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_too_few_clients_for_a_silhouette_are_one_cluster(clients):
    found = SilhouetteKMeans()(groups([1] * clients), seed=0)
    assert found.labels == (0,) * clients
    assert found.silhouette is None


def two_alike_beside_others(distances):
    """Groups at these places of a line, each of three points that are 0.2 apart."""
    within = torch.tensor([-0.2, 0.0, 0.2], dtype=torch.float64)
    return torch.cat([place + within for place in distances])[:, None]


def test_two_groups_that_are_alike_are_found_beside_one_that_is_far_from_both():
    features, truth = two_alike_beside_others((0.0, 1.0, 20.0)), expected_labels((3, 3, 3))
    told = KMeans(3)(features, seed=0)
    assert told.labels == truth
    assert told.silhouette < KMeans(2)(features, seed=0).silhouette
    found = SilhouetteKMeans()(features, seed=0)
    assert found == told


def test_clusters_within_clusters_are_those_of_places_too():
    features = two_alike_beside_others((0.0, 1.0, 20.0))
    places = torch.tensor([[0.0], [1.0], [20.0]], dtype=torch.float64)
    found = SilhouetteKMeans().recall(features, places, elsewhere=0, seed=0)
    assert found.labels == (*expected_labels((3, 3, 3)), 0, 1, 2)


@pytest.mark.parametrize(("most", "clusters"), [(1, 1), (2, 2), (3, 3), (4, 4), (8, 4)])
def test_max_clusters_is_a_bound(most, clusters):
    features = two_alike_beside_others((0.0, 1.0, 20.0, 21.0))
    assert len(set(SilhouetteKMeans(max_clusters=most)(features, seed=0).labels)) == clusters


def test_max_clusters_is_a_bound_for_groups_that_are_far_apart():
    found = SilhouetteKMeans(max_clusters=2)(groups((3, 3, 3, 3)), seed=0)
    assert max(found.labels) < 2
    assert set(SilhouetteKMeans(max_clusters=1)(groups((4, 4)), seed=0).labels) == {0}


def test_a_partition_below_the_threshold_is_not_used():
    features = groups((4, 4), distance=1.4)
    silhouette = KMeans(2)(features, seed=0).silhouette
    assert set(SilhouetteKMeans(threshold=silhouette - 0.01)(features, seed=0).labels) == {0, 1}
    assert set(SilhouetteKMeans(threshold=silhouette + 0.01)(features, seed=0).labels) == {0}


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(9)))
def test_order_of_clients_does_not_matter(order):
    features, truth = groups((4, 3, 2)), expected_labels((4, 3, 2))
    found = SilhouetteKMeans()(features[list(order)], seed=0).labels
    assert len(set(zip(found, (truth[i] for i in order), strict=True))) == len(set(found)) == 3


def test_the_same_seed_gives_the_same_clusters_and_a_random_state_replaces_it():
    features = groups([30])
    assert KMeans(5)(features, seed=3) == KMeans(5)(features, seed=3)
    fixed = KMeans(5, random_state=42)
    assert fixed(features, seed=1) == fixed(features, seed=2) == KMeans(5)(features, seed=42)
    features = groups((6, 6, 6), distance=2)
    fixed = SilhouetteKMeans(threshold=-1, random_state=42)
    assert fixed(features, seed=1) == SilhouetteKMeans(threshold=-1)(features, seed=42)


def test_one_cluster_and_as_many_as_clients_have_no_silhouette():
    features = groups([3])
    assert KMeans(1)(features, seed=0).silhouette is None
    assert KMeans(3)(features, seed=0).silhouette is None


def test_equal_clients_are_not_split_and_do_not_warn(recwarn):
    features = torch.ones(6, 4)
    assert set(SilhouetteKMeans()(features, seed=0).labels) == {0}
    assert set(KMeans(2)(features, seed=0).labels) == {0}
    assert not recwarn.list


def test_seeds_of_any_size_are_accepted():
    assert KMeans(2)(groups((3, 3)), seed=2**62 + 5).labels == expected_labels((3, 3))


def test_fewer_clients_than_clusters_are_one_cluster_each():
    assert KMeans(4)(groups([3]), seed=0).labels == (0, 1, 2)


@pytest.mark.parametrize("clusterer", [KMeans(2), SilhouetteKMeans()])
def test_invalid_features_are_an_error(clusterer):
    with pytest.raises(ValueError, match="not finite"):
        clusterer(torch.tensor([[1.0], [float("nan")], [2.0]]), seed=0)
    with pytest.raises(ValueError, match="must be"):
        clusterer(torch.zeros(0, 3), seed=0)
    with pytest.raises(ValueError, match="must be"):
        clusterer(torch.zeros(3), seed=0)


def test_invalid_settings_are_an_error():
    with pytest.raises(ValueError, match="clusters is 0"):
        KMeans(0)
    with pytest.raises(ValueError, match="max_clusters is 0"):
        SilhouetteKMeans(max_clusters=0)
    with pytest.raises(ValueError, match="smallest is 0"):
        SilhouetteKMeans(smallest=0)
    with pytest.raises(ValueError, match="threshold is 2"):
        SilhouetteKMeans(threshold=2)


@pytest.mark.parametrize("clusterer", [KMeans(2), SilhouetteKMeans()])
def test_an_outlier_that_has_company_is_no_outlier(clusterer):
    """Three of one group and one of another, and where both were once found."""
    features = groups((3, 1))
    assert isinstance(clusterer, RecallingClusterer)
    west, east = features[:3].mean(0, keepdim=True), features[3:]
    found = clusterer.recall(features, torch.cat([east, west]), elsewhere=0, seed=0)
    assert found.labels == (0, 0, 0, 1, 1, 0)
    assert found.silhouette == pytest.approx(KMeans(2)(features, seed=0).silhouette)


@pytest.mark.parametrize("seed", range(5))
def test_places_do_not_speak_for_a_partition_that_clients_do_not_show(seed):
    """They are near to those whom they were taken of: of one group, they would make two for ever."""
    features = groups([6], seed=seed)
    places = torch.stack([features[:3].mean(0), features[3:].mean(0)])
    assert set(SilhouetteKMeans().recall(features, places, elsewhere=0, seed=0).labels) == {0}


def test_k_means_does_not_look_for_clusters_of_which_nobody_is_here():
    features = groups((3, 3))
    places = torch.stack([features[:3].mean(0), features[3:].mean(0)])
    assert KMeans(3).recall(features, places, elsewhere=1, seed=0).labels == (0, 0, 0, 1, 1, 1, 0, 1)
    assert set(KMeans(2).recall(features, places, elsewhere=5, seed=0).labels) == {0}


def named(*names):
    return dict(enumerate(names))


def test_first_round_names_clusters_by_their_smallest_client():
    assert match_clusters({}, {3: 7, 1: 9, 2: 7}) == {1: 0, 2: 1, 3: 1}


def test_swapped_numbers_keep_their_names():
    assert match_clusters(named(0, 0, 1, 1), named(1, 1, 0, 0)) == named(0, 0, 1, 1)


def test_a_client_that_changes_its_cluster_renames_no_cluster():
    assert match_clusters(named(0, 0, 0, 1, 1), named(1, 1, 0, 0, 0)) == named(0, 0, 1, 1, 1)


def test_after_a_split_the_larger_part_keeps_the_name():
    assert match_clusters(named(0, 0, 0, 0, 0), named(0, 0, 1, 1, 1)) == named(1, 1, 0, 0, 0)


def test_a_merged_cluster_has_the_name_of_the_larger_part():
    assert match_clusters(named(0, 0, 1, 1, 1), named(0, 0, 0, 0, 0)) == named(1, 1, 1, 1, 1)


def test_a_new_cluster_gets_the_smallest_free_name():
    assert match_clusters(named(2, 2, 0, 0), {0: 0, 1: 0, 2: 1, 3: 1, 4: 2}) == named(2, 2, 0, 0, 1)


def test_clients_that_left_do_not_count():
    assert match_clusters({0: 0, 1: 0, 2: 0, 3: 1}, {2: 0, 3: 1}) == {2: 0, 3: 1}


def test_a_new_cluster_does_not_get_the_name_of_one_with_an_absent_client():
    """Clients 0, 1, 4, 5, 6, 7 were in 0, clients 2 and 3 in 1, and 3 is absent."""
    previous = {0: 0, 1: 0, 2: 1, 3: 1, 4: 0, 5: 0, 6: 0, 7: 0}
    labels = {0: 0, 1: 0, 2: 0, 6: 0, 7: 0, 4: 1, 5: 1}
    assert match_clusters(previous, labels) == {0: 0, 1: 0, 2: 0, 6: 0, 7: 0, 4: 2, 5: 2}


def test_with_only_new_clients_names_are_as_in_a_first_round():
    assert match_clusters({0: 5, 1: 6}, {2: 1, 3: 0}) == {2: 0, 3: 1}


def test_names_are_chosen_for_the_largest_overlap_in_all():
    # Taking the largest overlap first (new 0 with old 0, three clients) would leave two unnamed.
    previous = named(0, 0, 0, 1, 1, 0, 0)
    labels = named(0, 0, 0, 0, 0, 1, 1)
    kept = match_clusters(previous, labels)
    assert sum(kept[client] == previous[client] for client in kept) == 4
    assert kept == named(1, 1, 1, 1, 1, 0, 0) or kept == named(0, 0, 0, 0, 0, 1, 1)


labels_of_eight = st.lists(st.integers(0, 3), min_size=8, max_size=8)


@settings(deadline=None)
@given(previous=labels_of_eight, labels=labels_of_eight, renumbering=st.permutations(range(4)))
def test_names_keep_the_partition_and_ignore_its_numbering(previous, labels, renumbering):
    names = match_clusters(named(*previous), named(*labels))
    assert len(set(zip(labels, names.values(), strict=True))) == len(set(labels)) == len(set(names.values()))
    renumbered = [renumbering[label] for label in labels]
    assert match_clusters(named(*previous), named(*renumbered)) == names


@settings(deadline=None)
@given(labels=labels_of_eight)
def test_names_are_kept_when_nothing_changes(labels):
    names = match_clusters({}, named(*labels))
    assert match_clusters(names, named(*labels)) == names


@settings(deadline=None)
@given(previous=labels_of_eight, labels=labels_of_eight)
def test_as_many_clients_keep_their_name_as_any_naming_allows(previous, labels):
    names = match_clusters(named(*previous), named(*labels))
    kept = sum(names[client] == name for client, name in enumerate(previous))
    old, new = sorted(set(previous)), sorted(set(labels))
    spare = [-1 - i for i in range(len(new))]
    best = max(
        sum(naming[new.index(label)] == name for name, label in zip(previous, labels, strict=True))
        for naming in itertools.permutations(old + spare, len(new))
    )
    assert kept == best
