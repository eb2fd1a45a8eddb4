import math
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.federation import ActivationAccumulator, SampleWeighting
from huscf_flwr.methods.contract import byte_counts
from huscf_flwr.models import (
    NETWORKS,
    Cut,
    body_block_keys,
    build_network,
    client_block_keys,
    flatten_blocks,
    legal_cuts,
    model_spec_of,
)
from tests.methods.huscf.builders import (
    ScriptedClusters,
    Spy,
    everything_of,
    huscf_training,
    segments_of,
)
from tests.run.builders import SAMPLES, assert_same_to_the_bit, method_of, mixed_cuts, small_run


@pytest.fixture
def make(tmp_path):
    return lambda **given: huscf_training(tmp_path, **given)


@settings(max_examples=10)
@given(st.lists(st.integers(1, 999), min_size=1, max_size=3), st.integers(1, 5), st.integers(2, 64))
def test_a_round_has_as_many_steps_as_the_largest_client_has_batches(tmp_path_factory, sizes, epochs, batch):
    root = tmp_path_factory.getbasetemp()
    config = small_run(
        root, root, local_epochs=epochs, batch_size=batch, clients=len(sizes), **{"model.width": 0.01}
    )
    method = method_of(config, samples=dict(enumerate(sizes)))
    assert method.steps(1, range(len(sizes))) == epochs * math.ceil(max(sizes) / batch)


def test_all_clients_begin_with_the_same_weights(make):
    method = make().method
    whole = {}
    for network in NETWORKS:
        whole |= flatten_blocks(build_network(method.spec, network, seed=method.config.seed).states())
    states = flatten_blocks(method.bodies.segments.states())
    orders = method.orders(1, [0, 1, 2])
    for client in (0, 1, 2):
        own = orders.of(client).tensors["segments"]
        assert own
        assert_same_to_the_bit(own, {name: whole[name] for name in own})
        states |= own
    assert_same_to_the_bit(states, whole)


def test_nothing_is_sent_before_the_first_averaging_where_each_has_its_own_weights(make):
    orders = make(**{"huscf.initialisation": "per-client"}).method.orders(1, [0, 1, 2])
    assert orders.groups == {}
    assert all(order.tensors == {} and order.groups == () for order in orders.clients.values())


@settings(max_examples=10)
@given(st.data())
def test_each_block_travels_once_for_all_of_a_cluster_that_keep_it(tmp_path_factory, data):
    root = tmp_path_factory.getbasetemp()
    config = small_run(root, root, clients=5, **{"model.width": 0.01})
    spec = model_spec_of(config)
    legal = legal_cuts(spec)
    cuts = {client: data.draw(st.sampled_from(legal)) for client in range(5)}
    method = method_of(config, samples=dict.fromkeys(range(5), 4), cuts=cuts)
    blocks = method.models.common
    clusters = {client: data.draw(st.integers(0, 2)) for client in range(5)}
    method.models.load(clusters, dict.fromkeys(range(3), blocks))
    chosen = data.draw(st.lists(st.integers(0, 4), unique=True))

    orders = method.orders(1, chosen).of_host(chosen)

    assert set(orders.clients) == set(chosen)
    kept = {client: set(client_block_keys(spec, cuts[client])) for client in chosen}
    for client in chosen:
        assert orders.clients[client].facts.cut == cuts[client]
        assert segments_of(orders.of(client)) == kept[client]
    assert len(orders.groups) == len({(clusters[client], key) for client in chosen for key in kept[client]})


@pytest.mark.parametrize(
    ("window", "steps"), [("first-epoch", {1, 2}), ("last-epoch", {5, 6}), ("last-batch", {6})]
)
def test_a_window_is_these_steps_of_three_epochs_of_two(make, monkeypatch, window, steps):
    training = make(local_epochs=3, **{"huscf.feature_window": window})
    observed = set()

    def note_step(*_):
        observed.add(training.rounds.opened.session.finished_steps + 1)

    monkeypatch.setattr(ActivationAccumulator, "observe", note_step)
    training.begin()
    assert observed == steps


def samples_seen(spy):
    """The number of images of which clustering saw the activations, by round and client."""
    return [{k: seen.samples for k, seen in given["statistics"].items()} for given in spy.given]


def test_all_batches_of_an_epoch_are_observed(make):
    """Of two steps: 8 + 8 of 16 images; 8 of 9 and the last with one of the next pass; 5 + 5 of 5."""
    training = make(local_epochs=3)
    spy = Spy(training.method)
    training.train()
    assert samples_seen(spy) == [{0: 16, 1: 8 + 2, 2: 5 + 5}]


def test_the_last_batch_is_observed_as_the_authors_do(make):
    """The sixth of a client with 9 images is the second of its third pass: 8, 1 + 1, 8, 8, 1 + 1, 8."""
    training = make(local_epochs=3, **{"huscf.feature_window": "last-batch"})
    spy = Spy(training.method)
    training.train()
    training.train()
    assert samples_seen(spy) == [{0: 8, 1: 8, 2: 5}] * 2


def test_what_follows_a_round_is_told_nothing_but_what_a_server_knows(make):
    training = make()
    spy = Spy(training.method)
    training.train()
    (known,) = spy.given
    assert set(known) == {
        "statistics",
        "samples",
        "previous_clusters",
        "client_blocks",
        "bodies",
        "seed",
        "known",
        "earlier",
        "label_counts",
        "shared",
    }
    assert known["samples"] == SAMPLES
    assert known["known"] is known["earlier"] is None
    assert known["shared"] == frozenset()
    assert known["label_counts"] is None
    assert set(known["bodies"]) == {0}
    assert set(known["bodies"][0]) == set(body_block_keys(training.method.spec))


def test_a_round_takes_the_averages_over(make):
    training = make()
    method, spy = training.method, Spy(training.method)
    closed = training.train()
    (result,) = spy.results
    assert closed.opened.number == training.rounds.number == 1
    assert closed.opened.steps == method.steps(1, [0, 1, 2])
    assert len(closed.opened.session.hosts) == 1
    assert method.clusters() == result.clusters
    assert method.models.blocks == result.cluster_blocks
    assert_same_to_the_bit(flatten_blocks(method.bodies.segments.states()), flatten_blocks(result.bodies[0]))


def test_segments_are_in_the_ledger(make):
    """Down once for all clients of a cluster; up from every client its own."""
    training = make(cuts=dict.fromkeys(SAMPLES, Cut()))
    orders = training.method.orders(1, [0, 1, 2])
    size = byte_counts(orders.of(0).tensors)["segments"]
    ledger = training.train().opened.ledger
    assert ledger.total(direction="down", kind="segments") == size > 0
    assert ledger.total(direction="up", kind="segments") == 3 * size
    assert ledger.total(kind="generator head output") > 0


def test_every_round_has_a_ledger_of_its_own(make):
    training = make()
    first, second = training.train().opened.ledger, training.train().opened.ledger
    assert first is not second
    assert first.total(direction="up") == second.total(direction="up")


def test_weights_are_those_of_the_method(make):
    """Plain averaging in a plain round: n_k / sum n = 16, 9 and 5 of 30."""
    facts = make(**{"huscf.plain_rounds": 1}).train().outcome.clients
    weights = {client: own["global_weight"] for client, own in facts.items()}
    assert weights == pytest.approx({0: 16 / 30, 1: 9 / 30, 2: 5 / 30})


def test_a_method_may_be_replaced_in_part(make):
    """FedAvg's weights in all rounds: in the second they are n_k / sum n again."""
    training = make(parts={"weighting": SampleWeighting()})
    training.train()
    facts = training.train().outcome.clients
    weights = {client: own["global_weight"] for client, own in facts.items()}
    assert weights == pytest.approx({0: 16 / 30, 1: 9 / 30, 2: 5 / 30})


def test_an_outcome_tells_clusters_weights_divergences_and_cuts(make):
    training = make()
    spy = Spy(training.method)
    outcome = training.train().outcome
    (result,) = spy.results
    assert outcome.facts == {"silhouette": result.silhouette, "bodies": 1}
    assert outcome.clients == {
        client: {
            "cluster": result.clusters[client],
            "cut": list(cut),
            "weight": result.cluster_weights[client],
            "global_weight": result.global_weights[client],
            "divergence": result.divergences[client],
        }
        for client, cut in mixed_cuts(training.config).items()
    }


def parting(make, *rounds, **other):
    """A training that found the clusters ``rounds``, and after which of them its bodies had parted."""
    given = {"huscf.bodies": "parted", **other}
    training = make(parts={"clusterer": ScriptedClusters(*rounds)}, **given)
    parted, notes = [], []
    for _ in rounds:
        notes.append(training.train().outcome.notes)
        parted.append(training.method.bodies.parted)
    told = [number for number, note in enumerate(notes) if any("bodies of its own" in text for text in note)]
    assert told == [number for number in range(len(rounds)) if parted[number] and not any(parted[:number])]
    return training, parted


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
    assert parting(make, *rounds, **{"huscf.bodies": "shared"})[1] == [False] * 3


def test_bodies_do_not_part_as_long_as_rounds_average_all_clients(make):
    rounds = [(0, 0, 1)] * 4
    assert parting(make, *rounds, **{"huscf.plain_rounds": 3})[1] == [False, False, True, True]


def test_bodies_do_not_part_on_clusters_that_a_round_did_not_find(make):
    """Of the second cluster nobody came: that it is as it was is not for that round to say."""
    training = make(parts={"clusterer": ScriptedClusters((0, 0, 1), (0, 0))}, **{"huscf.bodies": "parted"})
    training.train()
    training.train(absent=(2,))
    assert training.method.clusters() == {0: 0, 1: 0, 2: 1}
    assert not training.method.bodies.parted


def test_once_bodies_have_parted_clusters_stay_and_each_has_its_own_average(make):
    training, _ = parting(make, (0, 0, 1), (0, 0, 1))
    method, spy = training.method, Spy(training.method)
    outcome = training.train().outcome  # asked once more, the clusterer would have no answer
    (result,) = spy.results
    assert result.clusters == method.clusters() == {0: 0, 1: 0, 2: 1}
    assert outcome.facts == {"silhouette": None, "bodies": 2}
    for cluster in (0, 1):
        body = flatten_blocks(method.bodies.bodies[cluster].states())
        assert_same_to_the_bit(body, flatten_blocks(result.bodies[cluster]))
    one, other = (method.bodies.bodies[cluster].states() for cluster in (0, 1))
    middle = ("generator", method.spec.generator.middle_index)
    assert not torch.equal(one[middle]["main.weight"], other[middle]["main.weight"])


def test_a_cluster_of_which_nobody_came_keeps_its_own_body(make):
    training, _ = parting(make, (0, 0, 1), (0, 0, 1))
    method = training.method
    training.train()
    blocks = method.models.blocks[1]
    closed = training.train(absent=(2,))
    assert {k: facts["cluster"] for k, facts in closed.outcome.clients.items()} == {0: 0, 1: 0}
    assert method.clusters() == {0: 0, 1: 0, 2: 1}
    assert set(method.bodies.bodies) == {0, 1}
    assert method.models.blocks[1] is blocks


def test_a_round_is_not_taken_back_while_the_bodies_still_compute(make):
    training = make()
    session = training.rounds.open([sorted(SAMPLES)]).session
    computing, given_up = threading.Event(), threading.Event()
    session._turn.is_served = True
    giving_up = threading.Thread(
        target=lambda: (computing.set(), training.rounds.take_back(), given_up.set())
    )
    giving_up.start()
    computing.wait()
    assert not given_up.wait(0.2)
    with session._changed:
        session._turn.is_served = False
        session._changed.notify_all()
    giving_up.join()
    assert training.rounds.number == 0


def test_a_round_that_is_taken_back_leaves_all_bodies_as_they_were(make):
    training, _ = parting(make, (0, 0, 1), (0, 0, 1))
    bodies = training.method.bodies.bodies
    before = {
        cluster: {key: tensor.clone() for key, tensor in everything_of(body).items()}
        for cluster, body in bodies.items()
    }
    training.begin()
    training.rounds.take_back()
    assert training.method.bodies.bodies.keys() == before.keys() == {0, 1}
    for cluster, tensors in before.items():
        assert_same_to_the_bit(everything_of(training.method.bodies.bodies[cluster]), tensors)
