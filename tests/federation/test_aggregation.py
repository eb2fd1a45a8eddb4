import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from huscf_flwr.federation.aggregation import aggregate

BLOCKS = 5
MIDDLE = 2
NETWORKS = ("generator", "discriminator")


def block(index, stream, dtype=torch.float64):
    """State of a block with main weights and, on even indices, BatchNorm."""
    state = {"main.weight": torch.randn(2, index + 1, generator=stream, dtype=dtype)}
    if index % 2 == 0:
        state["norm.running_mean"] = torch.randn(3, generator=stream, dtype=dtype)
        state["norm.running_var"] = torch.rand(3, generator=stream, dtype=dtype) + 0.5
        state["norm.num_batches_tracked"] = torch.randint(0, 500, (), generator=stream)
    return state


def model(cuts, seed, dtype=torch.float64):
    """Clients' and server's blocks for ``cuts``: by client, blocks kept in head and tail."""
    stream = torch.Generator().manual_seed(seed)
    client_blocks = {
        client: {
            (network, index): block(index, stream, dtype)
            for network in NETWORKS
            for index in (*range(head), *range(BLOCKS - tail, BLOCKS))
        }
        for client, (head, tail) in cuts.items()
    }
    body = {(network, i): block(i, stream, dtype) for network in NETWORKS for i in range(1, BLOCKS - 1)}
    return client_blocks, body


def equal_weights(groups):
    sizes = {group: list(groups.values()).count(group) for group in groups.values()}
    return {client: 1 / sizes[group] for client, group in groups.items()}


def as_lists(states):
    return {key: {name: t.tolist() for name, t in state.items()} for key, state in states.items()}


cut = st.tuples(st.integers(1, 2), st.integers(1, 2))


@st.composite
def federations(draw, max_clients=6):
    count = draw(st.integers(1, max_clients))
    ids = draw(st.lists(st.integers(0, 99), min_size=count, max_size=count, unique=True))
    cuts = {client: draw(cut) for client in ids}
    clusters = {client: draw(st.integers(0, 2)) for client in ids}
    raw = {client: draw(st.floats(0.01, 1)) for client in ids}
    total = {c: sum(raw[i] for i in ids if clusters[i] == c) for c in clusters.values()}
    cluster_weights = {i: raw[i] / total[clusters[i]] for i in ids}
    global_weights = {i: raw[i] / sum(raw.values()) for i in ids}
    return cuts, clusters, cluster_weights, global_weights, draw(st.integers(0, 2**31))


def brute_force(key, clients, client_blocks, body, weights, buffers):
    """Average one block number by number, in numpy scalars and exact sums."""
    states = {k: client_blocks[k].get(key) or body[key] for k in clients}
    averaged = {}
    for name, like in next(iter(states.values())).items():
        flat = np.empty(like.numel())
        for place in range(like.numel()):
            values = {k: float(state[name].flatten()[place]) for k, state in states.items()}
            mean = math.fsum(weights[k] * values[k] for k in clients)
            if buffers == "total-variance" and name.endswith("num_batches_tracked"):
                flat[place] = max(values.values())
            elif buffers == "total-variance" and name.endswith("running_var"):
                means = {k: float(state["norm.running_mean"][place]) for k, state in states.items()}
                centre = math.fsum(weights[k] * means[k] for k in clients)
                # E[x^2] - E[x]^2, where the code has the mean of squared deviations
                second = math.fsum(weights[k] * (values[k] + means[k] ** 2) for k in clients)
                flat[place] = second - centre**2
            else:
                flat[place] = mean
        averaged[name] = torch.tensor(flat.reshape(tuple(like.shape)))
    return averaged


def assert_same_block(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        if tensor.dtype.is_floating_point:
            torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-9, msg=name)
        else:
            average = expected[name].item()
            assert tensor.item() in {int(average - 1e-9), int(average + 1e-9)}, name


@pytest.mark.parametrize("buffers", ["total-variance", "average"])
@settings(deadline=None, max_examples=25)
@given(federation=federations(max_clients=5))
def test_equals_brute_force(buffers, federation):
    cuts, clusters, cluster_weights, global_weights, seed = federation
    client_blocks, body = model(cuts, seed)
    found = aggregate(client_blocks, body, clusters, cluster_weights, global_weights, buffers=buffers)
    kept = set().union(*client_blocks.values())
    assert found.clusters.keys() == set(clusters.values())
    for cluster, blocks in found.clusters.items():
        members = [client for client in clusters if clusters[client] == cluster]
        assert blocks.keys() == kept
        for key, state in blocks.items():
            expected = brute_force(key, members, client_blocks, body, cluster_weights, buffers)
            assert_same_block(state, expected)
    assert found.body.keys() == body.keys()
    for key in body.keys() & kept:
        expected = brute_force(key, list(cuts), client_blocks, body, global_weights, buffers)
        assert_same_block(found.body[key], expected)


@settings(deadline=None, max_examples=25)
@given(federation=federations())
def test_blocks_that_no_client_keeps_stay_as_they_are_in_the_body(federation):
    cuts, clusters, cluster_weights, global_weights, seed = federation
    client_blocks, body = model(cuts, seed)
    found = aggregate(
        client_blocks, body, clusters, cluster_weights, global_weights, buffers="total-variance"
    )
    kept = set().union(*client_blocks.values())
    assert ("generator", MIDDLE) not in kept
    for key in body.keys() - kept:
        assert all(key not in blocks for blocks in found.clusters.values())
        assert as_lists({key: found.body[key]}) == as_lists({key: body[key]})


@pytest.mark.parametrize("buffers", ["total-variance", "average"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kept", list(itertools.product((1, 2), (1, 2))))
def test_one_client_is_the_identity(buffers, dtype, kept):
    client_blocks, body = model({7: kept}, seed=1, dtype=dtype)
    found = aggregate(client_blocks, body, {7: 3}, {7: 1.0}, {7: 1.0}, buffers=buffers)
    assert as_lists(found.clusters[3]) == as_lists(client_blocks[7])
    assert as_lists(found.body) == as_lists(body | {k: v for k, v in client_blocks[7].items() if k in body})


@pytest.mark.parametrize("buffers", ["total-variance", "average"])
def test_equal_copies_are_a_fixed_point(buffers):
    client_blocks, body = model({0: (2, 2)}, seed=4)
    client_blocks = dict.fromkeys(range(3), client_blocks[0])
    clusters = dict.fromkeys(range(3), 0)
    weights = {0: 0.5, 1: 0.25, 2: 0.25}
    found = aggregate(client_blocks, body, clusters, weights, weights, buffers=buffers)
    for key, state in client_blocks[0].items():
        for name, tensor in state.items():
            torch.testing.assert_close(found.clusters[0][key][name], tensor, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(federation=federations(), data=st.data())
def test_order_of_clients_does_not_matter(federation, data):
    cuts, clusters, cluster_weights, global_weights, seed = federation
    client_blocks, body = model(cuts, seed)
    order = data.draw(st.permutations(list(cuts)))

    def in_order(mapping):
        return {client: mapping[client] for client in order}

    first = aggregate(
        client_blocks, body, clusters, cluster_weights, global_weights, buffers="total-variance"
    )
    second = aggregate(
        in_order(client_blocks),
        body,
        in_order(clusters),
        in_order(cluster_weights),
        in_order(global_weights),
        buffers="total-variance",
    )
    assert as_lists(first.body) == as_lists(second.body)
    for cluster, blocks in first.clusters.items():
        assert as_lists(blocks) == as_lists(second.clusters[cluster])


def test_hand_worked_average_in_which_the_servers_copy_stands_for_clients():
    key = ("generator", 1)
    client_blocks = {
        0: {key: {"w": torch.tensor([1.0])}},
        1: {},
        2: {key: {"w": torch.tensor([9.0])}},
        3: {},
    }
    body = {key: {"w": torch.tensor([5.0])}}
    found = aggregate(
        client_blocks,
        body,
        clusters={0: 0, 1: 0, 2: 1, 3: 2},
        cluster_weights={0: 0.75, 1: 0.25, 2: 1.0, 3: 1.0},
        global_weights={0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4},
        buffers="average",
    )
    assert found.clusters[0][key]["w"].item() == 0.75 * 1 + 0.25 * 5
    assert found.clusters[1][key]["w"].item() == 9
    assert found.clusters[2][key]["w"].item() == 5  # no client of this cluster keeps it
    assert found.body[key]["w"].item() == pytest.approx(0.1 * 1 + 0.6 * 5 + 0.3 * 9)


def batch_norm_states(counts, means, variances):
    key = ("discriminator", 0)
    return {
        client: {
            key: {
                "norm.running_mean": torch.tensor([mean]),
                "norm.running_var": torch.tensor([variance]),
                "norm.num_batches_tracked": torch.tensor(count),
            }
        }
        for client, (count, mean, variance) in enumerate(zip(counts, means, variances, strict=True))
    }


def average_of_two(buffers):
    blocks = batch_norm_states(counts=(10, 13), means=(-1.0, 3.0), variances=(1.0, 2.0))
    clusters, weights = {0: 0, 1: 0}, {0: 0.25, 1: 0.75}
    found = aggregate(blocks, {}, clusters, weights, weights, buffers=buffers)
    return {name: tensor.item() for name, tensor in found.clusters[0]["discriminator", 0].items()}


def test_total_variance_adds_the_variance_between_means():
    # Mean 2; variances 0.25 + 1.5, deviations of means 0.25 * 9 + 0.75 * 1.
    assert average_of_two("total-variance") == {
        "norm.running_mean": 2.0,
        "norm.running_var": 1.75 + 3.0,
        "norm.num_batches_tracked": 13,
    }


def test_the_average_of_all_entries_truncates_the_counter():
    # 0.25 * 10 + 0.75 * 13 = 12.25
    assert average_of_two("average") == {
        "norm.running_mean": 2.0,
        "norm.running_var": 1.75,
        "norm.num_batches_tracked": 12,
    }


def test_total_variance_gives_the_statistics_of_all_samples_together():
    stream = torch.Generator().manual_seed(0)
    batches = [torch.randn(n, 3, generator=stream, dtype=torch.float64) * n + n for n in (20, 60)]
    states = {}
    for client, batch in enumerate(batches):
        layer = nn.BatchNorm1d(3, momentum=1.0, dtype=torch.float64)
        layer(batch)
        state = layer.state_dict()
        state["running_var"] *= (len(batch) - 1) / len(batch)  # PyTorch stores the unbiased variance
        states[client] = {("generator", 0): state}
    weights, clusters = {0: 0.25, 1: 0.75}, {0: 0, 1: 0}
    found = aggregate(states, {}, clusters, weights, weights, buffers="total-variance")
    pooled = torch.cat(batches)
    state = found.clusters[0]["generator", 0]
    torch.testing.assert_close(state["running_mean"], pooled.mean(0))
    torch.testing.assert_close(state["running_var"], pooled.var(0, correction=0))
    nn.BatchNorm1d(3, dtype=torch.float64).load_state_dict(state)


@pytest.mark.parametrize("buffers", ["total-variance", "average"])
def test_dtypes_are_kept_inputs_are_not_changed_and_sums_are_float64(buffers):
    key = ("generator", 0)
    client_blocks = {
        client: {key: {"w": torch.tensor([1e8 if client == 0 else 1.0]), "n": torch.tensor(3)}}
        for client in range(11)
    }
    before = {client: as_lists(blocks) for client, blocks in client_blocks.items()}
    clusters, weights = dict.fromkeys(range(11), 0), dict.fromkeys(range(11), 1 / 11)
    found = aggregate(client_blocks, {}, clusters, weights, weights, buffers=buffers)
    averaged = found.clusters[0][key]
    assert averaged["w"].dtype == torch.float32
    assert averaged["n"].dtype == torch.int64
    assert averaged["w"].item() == torch.tensor((1e8 + 10) / 11).item()
    assert {client: as_lists(blocks) for client, blocks in client_blocks.items()} == before


def test_results_share_no_memory_with_the_clients():
    client_blocks, body = model({0: (1, 1)}, seed=0)
    found = aggregate(client_blocks, body, {0: 0}, {0: 1.0}, {0: 1.0}, buffers="average")
    client_blocks[0]["generator", 0]["main.weight"].zero_()
    assert found.clusters[0]["generator", 0]["main.weight"].abs().sum() > 0


def two_clients():
    client_blocks, body = model({0: (1, 2), 1: (2, 1)}, seed=0)
    return {
        "client_blocks": client_blocks,
        "body": body,
        "clusters": {0: 0, 1: 0},
        "cluster_weights": {0: 0.5, 1: 0.5},
        "global_weights": {0: 0.5, 1: 0.5},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client_blocks": {}}, "no client"),
        ({"clusters": {0: 0}}, r"clients \[0, 1\].*\[0\]"),
        ({"global_weights": {0: 0.5, 2: 0.5}}, r"clients \[0, 1\].*\[0, 2\]"),
        ({"clusters": {0: 0, 1: 1}}, "cluster 0 sum to 0.5"),
        ({"global_weights": {0: 0.5, 1: 0.6}}, "global average sum to 1.1"),
        ({"cluster_weights": {0: math.nan, 1: 1.0}}, "sum to nan"),
        ({"body": {}}, r"neither by clients \[1\] nor by the server"),
    ],
)
def test_invalid_input_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        aggregate(**{**two_clients(), **changes}, buffers="average")


def test_copies_of_different_shape_or_names_are_an_error():
    for other in (torch.zeros(5), None):
        arguments = two_clients()
        state = arguments["client_blocks"][1]["generator", 0]
        if other is None:
            del state["main.weight"]
        else:
            state["main.weight"] = other
        with pytest.raises(ValueError, match=r"copies of block \('generator', 0\) differ"):
            aggregate(**arguments, buffers="average")
