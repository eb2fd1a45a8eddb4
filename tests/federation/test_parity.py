"""Parity mode against an independent transcription of the authors' rules, in NumPy and plain loops.

The transcription follows their code: features, k-means, divergences and weights as in
HuSCFGAN.py:129-217, averaging by position as in HuSCFGAN.py:219-348, two plain rounds as in
train.py:157.
"""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as ScikitKMeans

from huscf_flwr.federation import ActivationAccumulator, SpatialSoftmax
from tests.federation.modes import parity

CUTS = {0: (1, 1), 1: (2, 1), 2: (1, 2), 3: (2, 2), 4: (1, 1), 5: (2, 1), 6: (2, 2)}
DOMAIN = {0: 0, 1: 1, 2: 0, 3: 1, 4: 1, 5: 0, 6: 1}
SIZES = {0: 600, 1: 200, 2: 100, 3: 600, 4: 350, 5: 600, 6: 10}
LAST_BATCH = 16


def softmax(values):
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


def authors_divergences(maps):
    """KL(mean of the others || own) of softmax maps over positions, averaged over channels."""
    found = {}
    for client, own_map in maps.items():
        terms = []
        for channel in range(len(own_map)):
            own = softmax(own_map[channel].ravel())
            others = [softmax(m[channel].ravel()) for c, m in maps.items() if c != client]
            if not others:
                terms.append(float("nan"))
                continue
            mean = sum(others) / len(others)
            p, q = own + 1e-9, mean + 1e-9
            terms.append(float((q * np.log(q / p)).sum()))
        found[client] = sum(terms) / len(terms)
    return found


def authors_weights(divergences, sizes):
    if len(sizes) == 1:  # their guard: a client whose size is the cluster's
        return dict.fromkeys(sizes, 1.0)
    scores = {client: sizes[client] * np.exp(-1.0 * divergences[client]) for client in sizes}
    return {client: score / sum(scores.values()) for client, score in scores.items()}


def authors_average(weights, copies):
    """Weighted sum of every entry of the state; integers are truncated when they are loaded."""
    averaged = {}
    for name in next(iter(copies.values())):
        total = sum(weights[client] * copies[client][name].double().numpy() for client in weights)
        averaged[name] = np.trunc(total) if name.endswith("num_batches_tracked") else total
    return averaged


def authors_round(round_from_zero, maps, sizes, client_blocks, body, number_of_domains):
    """Return labels, cluster weights, global weights, cluster averages by client, body."""
    clients = sorted(maps)
    if round_from_zero <= 1:
        labels = dict.fromkeys(clients, 0)
        total = sum(sizes.values())
        cluster_weights = {client: sizes[client] / total for client in clients}
        global_weights = cluster_weights
    else:
        features = np.array([maps[client].ravel() for client in clients])
        model = ScikitKMeans(n_clusters=number_of_domains, random_state=42, n_init=10)
        labels = dict(zip(clients, model.fit_predict(features).tolist(), strict=True))
        global_weights = authors_weights(authors_divergences(maps), sizes)
        cluster_weights = {}
        for label in set(labels.values()):
            members = [client for client in clients if labels[client] == label]
            divergences = authors_divergences({client: maps[client] for client in members})
            cluster_weights |= authors_weights(divergences, {c: sizes[c] for c in members})

    def copies(key, members):
        return {c: client_blocks[c][key] if key in client_blocks[c] else body[key] for c in members}

    by_client = {}
    for client, kept in client_blocks.items():
        members = [c for c in clients if labels[c] == labels[client]]
        weights = {c: cluster_weights[c] for c in members}
        by_client[client] = {key: authors_average(weights, copies(key, members)) for key in kept}
    new_body = {key: authors_average(global_weights, copies(key, clients)) for key in body}
    return labels, cluster_weights, global_weights, by_client, new_body


def last_batches(deviation=0.2):
    """Activations [16, 8, 4, 4] of each client: its domain's map, a ``deviation`` from it, and noise."""
    stream = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(*shape, generator=stream)

    domain_maps = [draw(8, 4, 4), draw(8, 4, 4)]
    return {
        client: domain_maps[DOMAIN[client]] + deviation * draw(8, 4, 4) + 0.3 * draw(LAST_BATCH, 8, 4, 4)
        for client in CUTS
    }


def observed(batch):
    accumulator = ActivationAccumulator()
    accumulator.observe(batch)
    return accumulator.statistics()


def blocks():
    stream = torch.Generator().manual_seed(3)

    def state(index):
        return {
            "main.weight": torch.randn(2, 3, generator=stream),
            "norm.running_mean": torch.randn(2, generator=stream),
            "norm.running_var": torch.rand(2, generator=stream),
            "norm.num_batches_tracked": torch.tensor(100 + 7 * index),
        }

    client_blocks = {
        client: {
            (network, index): state(index + client)
            for network in ("generator", "discriminator")
            for index in (*range(head), *range(5 - tail, 5))
        }
        for client, (head, tail) in CUTS.items()
    }
    body = {(network, i): state(i) for network in ("generator", "discriminator") for i in (1, 2, 3)}
    return client_blocks, body


def assert_same_state(found, expected, where):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        if name.endswith("num_batches_tracked"):
            # A sum close to an integer may be truncated to it or to the one below.
            assert abs(tensor.item() - expected[name]) <= 1, (where, name)
        else:
            np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("round_number", [1, 2, 3, 4])
def test_a_round_follows_the_authors_rules(round_number):
    batches = last_batches()
    client_blocks, body = blocks()
    result = parity(clusters=2).after_round(
        round_number,
        statistics={client: observed(batch) for client, batch in batches.items()},
        samples=SIZES,
        previous_clusters={},
        client_blocks=client_blocks,
        bodies={0: body},
        seed=7,
    )
    maps = {client: batch.double().mean(0).numpy() for client, batch in batches.items()}
    labels, cluster_weights, global_weights, by_client, new_body = authors_round(
        round_number - 1, maps, SIZES, client_blocks, body, number_of_domains=2
    )
    pairs = set(zip(result.clusters.values(), labels.values(), strict=True))
    assert len(pairs) == len(set(labels.values())) == (1 if round_number <= 2 else 2)
    assert result.cluster_weights == pytest.approx(cluster_weights, rel=1e-9)
    assert result.global_weights == pytest.approx(global_weights, rel=1e-9)
    for client, kept in by_client.items():
        averaged = result.cluster_blocks[result.clusters[client]]
        for key, expected in kept.items():
            assert_same_state(averaged[key], expected, (client, key))
    for key, expected in new_body.items():
        assert_same_state(result.bodies[0][key], expected, key)


def test_divergences_equal_those_of_the_authors():
    batches = last_batches()
    maps = {client: batch.double().mean(0).numpy() for client, batch in batches.items()}
    found = SpatialSoftmax()([observed(batch) for batch in batches.values()])
    assert found.tolist() == pytest.approx(list(authors_divergences(maps).values()), rel=1e-9)


def test_the_divergence_of_a_cluster_of_one_is_nan_for_the_authors_and_zero_here():
    batch = last_batches()[0]
    assert np.isnan(authors_divergences({0: batch.mean(0).numpy()})[0])
    assert SpatialSoftmax()([observed(batch)]).item() == 0


def test_the_authors_weighting_has_almost_no_effect():
    """With divergences like theirs, 0.01 to 0.05, weights change by less than one per cent."""
    stream = torch.Generator().manual_seed(5)
    base = torch.randn(128, 7, 7, generator=stream)
    batches = {c: base + 0.2 * torch.randn(4, 128, 7, 7, generator=stream) for c in range(8)}
    # The mean of 4 leaves deviations of 0.1; clients differ by 0.15 on top of that.
    batches = {c: b + 0.15 * torch.randn(128, 7, 7, generator=stream) for c, b in batches.items()}
    result = parity(clusters=1).after_round(
        3,
        statistics={client: observed(batch) for client, batch in batches.items()},
        samples=dict.fromkeys(batches, 600),
        previous_clusters={},
        client_blocks={client: {("generator", 0): {"w": torch.zeros(1)}} for client in batches},
        bodies={0: {}},
        seed=0,
    )
    assert all(0.01 <= divergence <= 0.05 for divergence in result.divergences.values())
    changes = [abs(weight * 8 - 1) for weight in result.cluster_weights.values()]
    assert 0 < max(changes) <= 0.008
