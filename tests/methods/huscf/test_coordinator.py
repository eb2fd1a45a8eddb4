import math
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.federation import ActivationAccumulator, Clustering, SampleWeighting
from huscf_flwr.models import (
    NETWORKS,
    Cut,
    all_block_keys,
    body_block_keys,
    build_network,
    client_block_keys,
    largest_cut,
    legal_cuts,
)
from huscf_flwr.session import StepLosses
from huscf_flwr.methods.huscf.coordinator import SEGMENTS_KIND, byte_count
from huscf_flwr.methods.huscf.parts import method_of
from tests.run.builders import SAMPLES, begin_training, coordinator_of, small_run, train_round


@pytest.fixture
def make(tmp_path):
    def coordinator(*, samples=SAMPLES, cuts=None, method=None, **settings):
        config = small_run(tmp_path, tmp_path, clients=len(samples), **{"model.width": 0.03, **settings})
        return coordinator_of(config, samples=samples, cuts=cuts, method=method)

    return coordinator


class Spy:
    """After a round, remembers what it was given."""

    def __init__(self, method):
        self.method = method
        self.given = []

    def after_round(self, number, **arguments):
        self.given.append(arguments)
        return self.method.after_round(number, **arguments)


@given(st.lists(st.integers(1, 999), min_size=1, max_size=3), st.integers(1, 5), st.integers(2, 64))
def test_a_round_has_as_many_steps_as_the_largest_client_has_batches(tmp_path_factory, sizes, epochs, batch):
    root = tmp_path_factory.getbasetemp()
    samples = dict(enumerate(sizes))
    config = small_run(
        root, root, local_epochs=epochs, batch_size=batch, clients=len(sizes), **{"model.width": 0.01}
    )
    assert coordinator_of(config, samples=samples).steps == epochs * math.ceil(max(sizes) / batch)


def test_all_clients_begin_with_the_same_weights(make):
    coordinator = make()
    whole = {}
    for network in NETWORKS:
        whole.update(build_network(coordinator.spec, network, seed=coordinator.config.seed).states())
    blocks = coordinator.blocks_for([0, 1, 2])
    assert list(blocks) == [0]
    states = {**blocks[0], **coordinator.executor.segments.states()}
    assert set(states) == set(whole)
    for key, state in states.items():
        for name, tensor in state.items():
            assert torch.equal(tensor, whole[key][name])


def test_nothing_is_sent_before_the_first_averaging_where_each_has_its_own_weights(make):
    assert make(**{"method.initialisation": "per-client"}).blocks_for([0, 1, 2]) == {}


@given(st.data())
def test_each_block_travels_once_for_all_of_a_cluster_that_keep_it(tmp_path_factory, data):
    root = tmp_path_factory.getbasetemp()
    config = small_run(root, root, clients=5, **{"model.width": 0.01})
    legal = legal_cuts(coordinator_of(config).spec)
    cuts = {client: data.draw(st.sampled_from(legal)) for client in range(5)}
    coordinator = coordinator_of(config, samples=dict.fromkeys(range(5), 4), cuts=cuts)
    (blocks,) = coordinator.cluster_blocks.values()
    coordinator.clusters = {client: data.draw(st.integers(0, 2)) for client in range(5)}
    coordinator.cluster_blocks = dict.fromkeys(range(3), blocks)
    chosen = data.draw(st.lists(st.integers(0, 4), unique=True))

    sent = coordinator.blocks_for(chosen)

    assert set(sent) == {coordinator.clusters[client] for client in chosen}
    for cluster, states in sent.items():
        members = [client for client in chosen if coordinator.clusters[client] == cluster]
        kept = {key for client in members for key in client_block_keys(coordinator.spec, cuts[client])}
        assert set(states) == kept


@pytest.mark.parametrize(
    ("window", "steps"), [("first-epoch", {1, 2}), ("last-epoch", {5, 6}), ("last-batch", {6})]
)
def test_a_window_is_these_steps_of_three_epochs_of_two(make, monkeypatch, window, steps):
    coordinator = make(local_epochs=3, **{"method.feature_window": window})
    observed = set()

    def note_step(*_):
        observed.add(coordinator._session.finished_steps + 1)

    monkeypatch.setattr(ActivationAccumulator, "observe", note_step)
    begin_training(coordinator)
    assert observed == steps


def test_all_batches_of_an_epoch_are_observed(make):
    """Three epochs of ceil(16 / 8) = 2 steps: client k brings 2 + k images in each of the last two."""
    spy = Spy(method_of(make().config))
    train_round(make(local_epochs=3, method=spy))
    assert {k: seen.samples for k, seen in spy.given[0]["statistics"].items()} == {0: 4, 1: 6, 2: 8}


def test_the_last_batch_is_observed_as_the_authors_do(make):
    settings = {"method.feature_window": "last-batch"}
    spy = Spy(method_of(make().config))
    coordinator = make(local_epochs=3, method=spy, **settings)
    train_round(coordinator)
    train_round(coordinator)
    for given_after_round in spy.given:
        seen = {client: seen.samples for client, seen in given_after_round["statistics"].items()}
        assert seen == {0: 2, 1: 3, 2: 4}


def test_what_follows_a_round_is_told_nothing_but_what_a_server_knows(make):
    spy = Spy(method_of(make().config))
    coordinator = make(method=spy)
    train_round(coordinator)
    (known,) = spy.given
    assert set(known) == {
        "statistics",
        "samples",
        "previous_clusters",
        "client_blocks",
        "body",
        "seed",
    }
    assert known["samples"] == SAMPLES
    assert set(known["body"]) == set(body_block_keys(coordinator.spec))


def test_a_round_takes_the_averages_over(make):
    coordinator = make()
    finished = train_round(coordinator)
    assert finished.number == coordinator.round == 1
    assert finished.steps == coordinator.steps
    assert finished.hosts == 1
    assert coordinator.clusters == finished.result.clusters
    assert coordinator.cluster_blocks == finished.result.cluster_blocks
    for key, state in coordinator.executor.segments.states().items():
        for name, tensor in state.items():
            assert torch.equal(tensor, finished.result.bodies[0][key][name])


def test_segments_are_in_the_ledger(make):
    """Down once for all clients of a cluster; up from every client its own."""
    coordinator = make(cuts=dict.fromkeys(SAMPLES, Cut()))
    (blocks,) = coordinator.blocks_for([0, 1, 2]).values()
    ledger = train_round(coordinator).ledger
    assert ledger.total(direction="down", kind=SEGMENTS_KIND) == byte_count(blocks)
    assert ledger.total(direction="up", kind=SEGMENTS_KIND) == 3 * byte_count(blocks)
    assert ledger.total(kind="generator head output") > 0


def test_every_round_has_a_ledger_of_its_own(make):
    coordinator = make()
    first, second = train_round(coordinator).ledger, train_round(coordinator).ledger
    assert first is not second
    assert first.total(direction="up") == second.total(direction="up")


def test_a_clusters_model_is_the_middles_of_the_server_and_its_own_blocks(make):
    coordinator = make()
    train_round(coordinator)
    cluster = coordinator.clusters[0]
    model = coordinator.model_states(cluster, largest_cut(coordinator.spec))
    assert list(model) == list(all_block_keys(coordinator.spec))
    body = coordinator.executor.segments.states()
    for (network, index), state in model.items():
        middle = index == coordinator.spec.network(network).middle_index
        expected = (body if middle else coordinator.cluster_blocks[cluster])[network, index]
        assert {name: t.data_ptr() for name, t in state.items()} == {
            name: t.data_ptr() for name, t in expected.items()
        }


def test_a_clients_model_is_what_it_runs_with_the_server(make):
    coordinator = make()
    train_round(coordinator)
    body = coordinator.executor.segments.states()
    for client, cut in coordinator.cuts.items():
        cluster = coordinator.clusters[client]
        kept = client_block_keys(coordinator.spec, cut)
        for key, state in coordinator.model_states(cluster, cut).items():
            expected = coordinator.cluster_blocks[cluster][key] if key in kept else body[key]
            assert torch.equal(state["main.weight"], expected["main.weight"])


def test_blocks_that_no_client_keeps_are_the_servers(make):
    """All clients have the lightest cut: blocks 2 and 4 are in no cluster's average."""
    coordinator = make(cuts=dict.fromkeys(SAMPLES, Cut()))
    train_round(coordinator)
    model = coordinator.model_states(0, largest_cut(coordinator.spec))
    body = coordinator.executor.segments.states()
    for index in (1, 2, 3):
        assert torch.equal(model["generator", index]["main.weight"], body["generator", index]["main.weight"])


@pytest.mark.parametrize("statistics", ["measured", "averaged"])
def test_a_clusters_generator_is_its_models_with_the_statistics_that_are_asked_for(make, statistics):
    coordinator = make(**{"method.running_statistics": statistics})
    train_round(coordinator)
    states = coordinator.generator_states(0)
    model = coordinator.model_states(0, largest_cut(coordinator.spec))
    assert states.keys() == {key for key in model if key[0] == "generator"}
    for key, state in states.items():
        assert torch.equal(state["main.bias"], model[key]["main.bias"])
        if "norm.running_mean" in state:
            same = torch.equal(state["norm.running_mean"], model[key]["norm.running_mean"])
            assert same == (statistics == "averaged")


def test_a_generator_is_that_of_the_last_round(make):
    coordinator = make()
    train_round(coordinator)
    first = coordinator.generator_states(0)
    assert coordinator.generator_states(0) is first
    train_round(coordinator)
    (cluster, *_) = coordinator.clusters.values()
    later = coordinator.generator_states(cluster)
    assert not torch.equal(later["generator", 0]["main.weight"], first["generator", 0]["main.weight"])


def test_weights_are_those_of_the_method(make):
    """Plain averaging in a plain round: n_k / sum n = 16, 9 and 5 of 30."""
    result = train_round(make(**{"method.plain_rounds": 1})).result
    assert result.global_weights == pytest.approx({0: 16 / 30, 1: 9 / 30, 2: 5 / 30})


def test_losses_are_handed_on(make):
    finished = train_round(make())
    assert set(finished.losses) == {0, 1, 2}
    assert all(isinstance(losses, StepLosses) for losses in finished.losses.values())


def test_a_method_may_be_replaced_in_part(make):
    """FedAvg's weights in all rounds: in the second they are n_k / sum n again."""
    config = make().config
    coordinator = make(method=method_of(config, weighting=SampleWeighting()))
    train_round(coordinator)
    result = train_round(coordinator).result
    assert result.global_weights == pytest.approx({0: 16 / 30, 1: 9 / 30, 2: 5 / 30})


class Scripted:
    """A clusterer that finds what it is told to, round by round."""

    def __init__(self, *rounds):
        self.rounds = iter(rounds)

    def __call__(self, features, *, seed):
        return Clustering(next(self.rounds), 0.5)


def parting(make, *rounds, **settings):
    """A coordinator that found the clusters ``rounds``, and after which of them its bodies had parted."""
    settings = {"method.bodies": "parted", **settings}
    config = make(**settings).config
    coordinator = make(method=method_of(config, clusterer=Scripted(*rounds)), **settings)
    parted = []
    for _ in rounds:
        train_round(coordinator)
        parted.append(coordinator.executor.parted)
    return coordinator, parted


@pytest.mark.parametrize(
    ("rounds", "parted"),
    [
        ([(0, 0, 1), (0, 0, 1)], [False, True]),
        ([(0, 0, 1), (1, 1, 0)], [False, True]),  # the same clusters, whatever k-means calls them
        ([(0, 0, 1), (0, 1, 1), (0, 1, 1)], [False, False, True]),
        ([(0, 0, 0), (0, 0, 0)], [False, False]),
    ],
)
def test_bodies_part_when_two_rounds_in_a_row_have_found_the_same_clusters(make, rounds, parted):
    assert parting(make, *rounds)[1] == parted


def test_bodies_are_shared_if_that_is_asked_for(make):
    rounds = [(0, 0, 1)] * 3
    assert parting(make, *rounds, **{"method.bodies": "shared"})[1] == [False] * 3


def test_bodies_do_not_part_as_long_as_rounds_average_all_clients(make):
    rounds = [(0, 0, 1)] * 4
    assert parting(make, *rounds, **{"method.plain_rounds": 3})[1] == [False, False, True, True]


def test_bodies_do_not_part_on_clusters_that_a_round_did_not_find(make):
    """Of the second cluster nobody came: that it is as it was is not for that round to say."""
    config = make(**{"method.bodies": "parted"}).config
    method = method_of(config, clusterer=Scripted((0, 0, 1), (0, 0)))
    coordinator = make(method=method, **{"method.bodies": "parted"})
    train_round(coordinator)
    train_round(coordinator, absent=(2,))
    assert coordinator.clusters == {0: 0, 1: 0, 2: 1}
    assert not coordinator.executor.parted


def test_once_bodies_have_parted_clusters_stay_and_each_has_its_own_average(make):
    coordinator, _ = parting(make, (0, 0, 1), (0, 0, 1))
    finished = train_round(coordinator)  # asked once more, the clusterer would have no answer
    assert finished.result.clusters == coordinator.clusters == {0: 0, 1: 0, 2: 1}
    assert finished.result.silhouette is None
    for cluster in (0, 1):
        body = coordinator.executor.bodies[cluster].states()
        for key, state in finished.result.bodies[cluster].items():
            for name, tensor in state.items():
                assert torch.equal(body[key][name], tensor)
    one, other = (coordinator.executor.bodies[cluster].states() for cluster in (0, 1))
    middle = ("generator", coordinator.spec.generator.middle_index)
    assert not torch.equal(one[middle]["main.weight"], other[middle]["main.weight"])


def test_a_cluster_of_which_nobody_came_keeps_its_own_body(make):
    coordinator, _ = parting(make, (0, 0, 1), (0, 0, 1))
    train_round(coordinator)
    blocks = coordinator.cluster_blocks[1]
    finished = train_round(coordinator, absent=(2,))
    assert finished.result.clusters == {0: 0, 1: 0}
    assert coordinator.clusters == {0: 0, 1: 0, 2: 1}
    assert set(coordinator.executor.bodies) == {0, 1}
    assert coordinator.cluster_blocks[1] is blocks


def test_a_clusters_model_has_its_own_body(make):
    coordinator, _ = parting(make, (0, 0, 1), (0, 0, 1))
    train_round(coordinator)
    for cluster in (0, 1):
        states = coordinator.model_states(cluster, largest_cut(coordinator.spec))
        for network in NETWORKS:
            middle = (network, coordinator.spec.network(network).middle_index)
            own = coordinator.executor.bodies[cluster].states()[middle]
            assert states[middle]["main.weight"].equal(own["main.weight"])


def test_a_round_is_not_taken_back_while_the_bodies_still_compute(make):
    coordinator = make()
    session = coordinator.open_round([sorted(SAMPLES)])
    computing, given_up = threading.Event(), threading.Event()
    session._serving = True
    giving_up = threading.Thread(
        target=lambda: (computing.set(), coordinator.give_up_round(), given_up.set())
    )
    giving_up.start()
    computing.wait()
    assert not given_up.wait(0.2)
    with session._changed:
        session._serving = False
        session._changed.notify_all()
    giving_up.join()
    assert coordinator.round == 0


def test_a_round_that_is_given_up_leaves_all_bodies_as_they_were(make):
    coordinator, _ = parting(make, (0, 0, 1), (0, 0, 1))
    before = {
        cluster: {key: tensor.clone() for key, tensor in everything_of(body).items()}
        for cluster, body in coordinator.executor.bodies.items()
    }
    begin_training(coordinator)
    coordinator.give_up_round()
    for cluster, tensors in before.items():
        after = everything_of(coordinator.executor.bodies[cluster])
        assert after.keys() == tensors.keys()
        assert all(torch.equal(after[key], tensor) for key, tensor in tensors.items())


def everything_of(body):
    states = {(*key, name): t for key, state in body.states().items() for name, t in state.items()}
    return states | body.moments()
