from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch.nn import functional

from huscf_flwr.federation import (
    ActivationStatistics,
    Clustering,
    KLDWeighting,
    KMeans,
    SampleWeighting,
    label_divergences,
)
from huscf_flwr.federation.clustered_averaging import ROUNDS_OF_EVIDENCE
from tests.federation.drawn_rounds import KEY, TWO_DOMAINS, after_round, blocks_of, observed, statistics_of
from tests.federation.modes import corrected, parity


@pytest.mark.parametrize("averaging", [corrected(), corrected(plain_rounds=1), parity(2)])
@pytest.mark.parametrize("round_number", [1, 2, 3, 10])
@pytest.mark.parametrize("domains", [TWO_DOMAINS, [0, 0, 1], [0, 1, 0, 1, 1, 1, 1]])
def test_weights_sum_to_one_and_give_the_average(averaging, round_number, domains):
    samples = {client: 50 * (1 + client) for client in range(len(domains))}
    result = after_round(averaging, round_number, domains, samples=samples)
    plain = round_number <= averaging.plain_rounds
    clients = range(len(domains))
    assert sum(result.global_weights.values()) == pytest.approx(1)
    assert result.cluster_blocks.keys() == set(result.clusters.values())
    for cluster in set(result.clusters.values()):
        members = [c for c in clients if plain or result.clusters[c] == cluster]
        weights = [result.cluster_weights[c] for c in members]
        assert sum(weights) == pytest.approx(1)
        expected = sum(w * c for w, c in zip(weights, members, strict=True))
        assert result.cluster_blocks[cluster][KEY]["w"].item() == pytest.approx(expected)


def test_corrected_finds_and_reports_clusters_in_a_plain_round_but_averages_all():
    result = after_round(corrected(plain_rounds=1), 1, TWO_DOMAINS, samples=dict(enumerate(range(1, 9))))
    assert list(result.clusters.values()) == TWO_DOMAINS
    assert result.silhouette > 0.2
    assert result.cluster_weights == pytest.approx({c: (c + 1) / 36 for c in range(8)})
    assert result.cluster_weights == result.global_weights
    first, second = result.cluster_blocks.values()
    assert first[KEY]["w"] == second[KEY]["w"]


def test_parity_puts_all_in_one_cluster_in_the_plain_rounds():
    for round_number in (1, 2):
        result = after_round(parity(2), round_number, TWO_DOMAINS)
        assert set(result.clusters.values()) == {0}
        assert result.silhouette is None
    assert list(after_round(parity(2), 3, TWO_DOMAINS).clusters.values()) == TWO_DOMAINS


def test_corrected_averages_by_cluster_from_the_first_round():
    result = after_round(corrected(), 1, TWO_DOMAINS)
    means = [blocks[KEY]["w"].item() for blocks in result.cluster_blocks.values()]
    assert max(means) < 7
    assert means[0] < 3 < 4 < means[1]


def test_a_round_that_sees_no_clusters_keeps_those_that_earlier_rounds_have_seen():
    seen, unseen = statistics_of(TWO_DOMAINS), statistics_of([0] * 8, seed=1)
    first = after_round(corrected(), 1, TWO_DOMAINS, statistics=seen)
    second = after_round(corrected(), 2, TWO_DOMAINS, statistics=unseen, earlier=first.features)
    assert list(first.clusters.values()) == list(second.clusters.values()) == TWO_DOMAINS
    assert second.features[:, : first.features.shape[1]].equal(first.features)
    alone = after_round(corrected(), 2, TWO_DOMAINS, statistics=unseen)
    of_one_round = replace(corrected(), evidence="round")
    ignoring = after_round(of_one_round, 2, TWO_DOMAINS, statistics=unseen, earlier=first.features)
    assert set(alone.clusters.values()) == set(ignoring.clusters.values()) == {0}
    assert ignoring.features.equal(alone.features)
    assert torch.cat([first.features, alone.features], 1).equal(second.features)


@pytest.mark.parametrize("seed", range(5))
def test_one_domain_is_one_cluster_and_two_are_two(seed):
    for domains in ([0] * 8, TWO_DOMAINS):
        assert list(after_round(corrected(), 2, domains, seed=seed).clusters.values()) == domains


def test_clusters_keep_the_names_of_the_round_before():
    previous = {client: {0: 5, 1: 2}[domain] for client, domain in enumerate(TWO_DOMAINS)}
    assert after_round(corrected(), 3, TWO_DOMAINS, previous=previous).clusters == previous


@pytest.mark.parametrize("averaging", [replace(corrected(), clusterer=KMeans(2)), parity(2)])
def test_a_cluster_of_one_has_finite_weights_and_keeps_its_model(averaging):
    result = after_round(averaging, 5, [0, 0, 0, 1])
    assert list(result.clusters.values()) == [0, 0, 0, 1]
    assert result.divergences[3] == 0
    assert result.cluster_weights[3] == 1
    assert result.cluster_blocks[1][KEY]["w"].item() == 3
    assert all(0 < weight < 1 for weight in result.global_weights.values())


@pytest.mark.parametrize("averaging", [corrected(), parity(1)])
def test_a_single_client_keeps_its_model(averaging):
    result = after_round(averaging, 5, [0])
    assert result.clusters == {0: 0}
    assert result.cluster_weights == result.global_weights == {0: 1.0}
    assert result.divergences == result.global_divergences == {0: 0.0}
    assert result.cluster_blocks[0][KEY]["w"].item() == 0


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(order=st.permutations(range(6)))
def test_the_order_of_clients_does_not_matter(order):
    statistics, samples, blocks = statistics_of([0, 0, 0, 1, 1, 1]), {}, blocks_of(6)
    samples = {client: 10 + client for client in range(6)}

    def run(ids):
        return corrected().after_round(
            4,
            statistics={i: statistics[i] for i in ids},
            samples={i: samples[i] for i in ids},
            previous_clusters={},
            client_blocks={i: blocks[i] for i in ids},
            bodies={0: {}},
            seed=0,
        )

    first, second = run(range(6)), run(order)
    assert first.clusters == second.clusters
    assert first.cluster_weights == second.cluster_weights
    assert first.global_weights == second.global_weights
    for cluster, averaged in first.cluster_blocks.items():
        assert averaged[KEY]["w"] == second.cluster_blocks[cluster][KEY]["w"]


def test_divergences_are_from_the_cluster_and_global_ones_from_all():
    result = after_round(corrected(), 2, TWO_DOMAINS)
    assert all(result.divergences[c] < result.global_divergences[c] for c in range(8))


def test_every_part_can_be_replaced():
    class ByParity:
        def __call__(self, features, *, seed):
            return Clustering(tuple(i % 2 for i in range(len(features))), silhouette=0.5)

    averaging = corrected(clusterer=ByParity(), weighting=SampleWeighting(), buffers="average")
    result = after_round(averaging, 2, TWO_DOMAINS)
    assert list(result.clusters.values()) == [0, 1] * 4
    assert set(result.cluster_weights.values()) == {0.25}


def test_beta_zero_is_plain_averaging_within_clusters():
    result = after_round(corrected(weighting=KLDWeighting(0)), 2, TWO_DOMAINS)
    assert set(result.cluster_weights.values()) == {0.25}
    assert set(result.global_weights.values()) == {0.125}


def test_modes_differ_in_every_setting_that_is_a_repair():
    ours, authors = corrected(), parity(2)
    for setting in (
        "clusterer",
        "divergence",
        "weighting",
        "buffers",
        "plain_rounds",
        "feature_scaling",
        "evidence",
    ):
        assert getattr(ours, setting) != getattr(authors, setting), setting
    assert ours.clusters_in_plain_rounds is not authors.clusters_in_plain_rounds


def test_a_round_with_fewer_clients_than_clusters_succeeds():
    result = after_round(parity(3), 3, [0, 1])
    assert result.clusters == {0: 0, 1: 1}
    assert result.cluster_weights == {0: 1, 1: 1}


def test_invalid_input_is_an_error():
    with pytest.raises(ValueError, match="plain_rounds is -1"):
        corrected(plain_rounds=-1)
    with pytest.raises(ValueError, match=r"clients \[0, 1\].*\[0, 2\]"):
        after_round(corrected(), 1, [0, 0], samples={0: 5, 2: 5})
    different = statistics_of([0]) | {1: ActivationStatistics(torch.zeros(2), torch.zeros(2), 1)}
    with pytest.raises(ValueError, match="differ in shape"):
        after_round(corrected(), 2, [0, 0], statistics=different)


def digits_of_scenario_5(seed):
    """Clients that lack two or three of ten digits, half with a third or a sixth of the images.

    Activations are those of a random convolution over scikit-learn's handwritten digits.
    """
    images, labels = load_digits(return_X_y=True)
    stream = torch.Generator().manual_seed(seed)
    kernel = torch.randn(32, 1, 3, 3, generator=stream)
    seen = functional.conv2d(torch.tensor(images).float().view(-1, 1, 8, 8) / 16, kernel, stride=2)
    statistics, samples = {}, {}
    order = torch.randperm(len(labels), generator=stream)
    for client, share in enumerate(order.tensor_split(8)):
        present = torch.randperm(10, generator=stream)[: 7 + client % 2]
        kept = share[torch.isin(torch.tensor(labels)[share], present)]
        kept = kept[: int(len(share) * (1, 1 / 3, 1, 1 / 6)[client % 4])]
        statistics[client] = observed(functional.leaky_relu(seen[kept], 0.2))
        samples[client] = len(kept)
    return statistics, samples


@pytest.mark.parametrize("seed", range(5))
def test_the_weighting_has_an_effect_under_label_skew_and_starves_no_client(seed):
    statistics, samples = digits_of_scenario_5(seed)
    result = after_round(corrected(), 2, [0] * 8, samples=samples, statistics=statistics)
    assert set(result.clusters.values()) == {0}, "label skew and unequal sizes are not domains"
    plain = {client: count / sum(samples.values()) for client, count in samples.items()}
    changes = [abs(result.cluster_weights[client] / plain[client] - 1) for client in samples]
    assert max(changes) >= 0.1
    effective = [
        1 / sum(weight**2 for weight in weights.values()) for weights in (result.cluster_weights, plain)
    ]
    assert effective[0] >= effective[1] / 2


@pytest.mark.parametrize("name", [0, 7])
def test_shared_bodies_come_back_under_the_name_that_they_were_given(name):
    arguments = {
        "statistics": statistics_of([0, 0]),
        "samples": {0: 100, 1: 100},
        "previous_clusters": {},
        "client_blocks": blocks_of(2),
        "seed": 0,
    }
    body = {KEY: {"w": torch.tensor([9.0]).double()}}
    result = corrected().after_round(1, bodies={name: body}, **arguments)
    assert result.bodies.keys() == {name}
    for bodies in ({}, {0: body, 1: body}):
        with pytest.raises(ValueError, match=r"all clients share one body, but bodies .* were given"):
            corrected().after_round(1, bodies=bodies, **arguments)


@pytest.mark.parametrize("averaging", [corrected(), parity(2)])
@pytest.mark.parametrize("round_number", [1, 3])
def test_clusters_with_their_own_bodies_are_separate_federations(averaging, round_number):
    """Clusters keep the names they had, not those a clusterer would give; cluster 5 has no client present."""
    clusters = {0: 7, 1: 7, 2: 2, 3: 2, 4: 2, 9: 5}
    domains = [0, 0, 1, 1, 1]
    statistics = statistics_of(domains)
    samples = {client: 50 * (1 + client) for client in range(5)}
    bodies = {name: {("generator", 1): {"w": torch.tensor([10.0 * name])}} for name in (2, 5, 7)}
    kept = {client: {**own, ("generator", 1): {"w": torch.ones(1)}} for client, own in blocks_of(5).items()}
    found = averaging.after_round_apart(
        round_number,
        statistics=statistics,
        samples=samples,
        clusters=clusters,
        client_blocks=kept,
        bodies=bodies,
    )
    assert found.clusters == {client: clusters[client] for client in range(5)}
    assert found.cluster_blocks.keys() == found.bodies.keys() == {2, 7}
    for name, members in {7: [0, 1], 2: [2, 3, 4]}.items():
        alone = replace(averaging, clusterer=KMeans(1), clusters_in_plain_rounds=True).after_round(
            round_number,
            statistics={k: statistics[k] for k in members},
            samples={k: samples[k] for k in members},
            previous_clusters={},
            client_blocks={k: kept[k] for k in members},
            bodies={name: bodies[name]},
            seed=0,
        )
        assert {k: found.cluster_weights[k] for k in members} == alone.cluster_weights
        assert {k: found.global_weights[k] for k in members} == alone.global_weights
        assert found.cluster_blocks[name] == alone.cluster_blocks[0]
        assert found.bodies[name] == alone.bodies[name]


COUNTS = {0: [9, 1, 0], 1: [1, 9, 0], 2: [5, 5, 0], 3: [0, 0, 10], 4: [2, 0, 8], 9: [1, 1, 1]}


def label_counts():
    """Of the clients of two clusters, and of one that is not of the round."""
    return {client: torch.tensor(counts).double() for client, counts in COUNTS.items()}


def assert_divergences_are_those_of_labels(found, groups):
    for members in groups:
        expected = label_divergences(torch.tensor([COUNTS[client] for client in members]))
        assert [found[client] for client in members] == pytest.approx(expected.tolist())


def test_label_counts_take_the_place_of_activations_in_divergences_and_nowhere_else():
    domains = [0, 0, 0, 1, 1]
    by_activations = after_round(corrected(), 2, domains)
    found = after_round(corrected(), 2, domains, label_counts=label_counts())
    assert found.clusters == by_activations.clusters
    assert found.silhouette == by_activations.silhouette
    assert_divergences_are_those_of_labels(found.divergences, [(0, 1, 2), (3, 4)])
    assert_divergences_are_those_of_labels(found.global_divergences, [(0, 1, 2, 3, 4)])
    weighting = corrected().weighting
    divergences = torch.tensor([found.global_divergences[client] for client in range(5)]).double()
    expected = weighting(torch.full((5,), 100.0).double(), divergences)
    assert list(found.global_weights.values()) == pytest.approx(expected.tolist())
    assert found.cluster_weights[2] > max(found.cluster_weights[0], found.cluster_weights[1])


def test_label_counts_are_compared_within_each_federation_where_bodies_are_apart():
    found = corrected().after_round_apart(
        2,
        statistics=statistics_of([0, 0, 0, 1, 1]),
        samples=dict.fromkeys(range(5), 10),
        clusters={0: 7, 1: 7, 2: 7, 3: 2, 4: 2},
        client_blocks=blocks_of(5),
        bodies={2: {}, 7: {}},
        label_counts=label_counts(),
    )
    for divergences in (found.divergences, found.global_divergences):
        assert_divergences_are_those_of_labels(divergences, [(0, 1, 2), (3, 4)])


def test_without_statistics_all_are_one_cluster_and_weights_are_sample_counts():
    averaging = corrected()
    result = averaging.after_round(
        1,
        statistics=None,
        samples={3: 10, 5: 30},
        previous_clusters={3: 4, 5: 4},
        client_blocks={k: {0: {"weight": torch.full((2,), float(k))}} for k in (3, 5)},
        bodies={0: {1: {"weight": torch.ones(2)}}},
        seed=0,
    )
    assert result.clusters == {3: 4, 5: 4}
    assert result.cluster_weights == result.global_weights == pytest.approx({3: 0.25, 5: 0.75})
    assert result.divergences == {3: 0.0, 5: 0.0}
    assert result.cluster_blocks[4][0]["weight"].tolist() == [4.5, 4.5]


def test_as_many_rounds_are_kept_in_mind_and_no_more():
    averaging, earlier, widths = corrected(), None, []
    for number in range(1, ROUNDS_OF_EVIDENCE + 3):
        earlier = after_round(averaging, number, TWO_DOMAINS, earlier=earlier).features
        widths.append(earlier.shape[1])
    own = widths[0]
    assert widths == [own * min(number + 1, ROUNDS_OF_EVIDENCE) for number in range(len(widths))]
