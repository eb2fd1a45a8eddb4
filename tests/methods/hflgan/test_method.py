"""Averages at the edge and in the cloud, and who is where."""

import pytest
import torch

from huscf_flwr.federation import Clustering
from huscf_flwr.methods.contract import Collected, Upload
from huscf_flwr.methods.hflgan import HFLGAN
from huscf_flwr.methods.hflgan import method as method_module
from huscf_flwr.models import flatten_blocks
from tests.methods.fedgan.test_method import assert_averaged
from tests.run.builders import (
    assert_same_state,
    assert_same_to_the_bit,
    small_run,
    training_of,
)

pytestmark = pytest.mark.slow

SAMPLES = {0: 16, 1: 9, 2: 5, 3: 8}


@pytest.fixture
def make(tmp_path):
    def training(samples=SAMPLES, **settings):
        given = {"model.width": 0.03, "method": "hflgan", "compute.precision": "float64", **settings}
        return training_of(small_run(tmp_path, tmp_path, clients=len(samples), **given), samples=samples)

    return training


@pytest.fixture
def told(monkeypatch):
    """Clusters are as the test says: by client, or the next round's labels."""
    labels = []
    monkeypatch.setattr(
        method_module, "clusters_of", lambda alike, clusters, seed: Clustering(tuple(labels.pop(0)), 0.5)
    )
    return labels


def sent(closed, kind="networks"):
    return {client: upload.tensors[kind] for client, upload in closed.collected.uploads.items()}


def of_cluster(training, name):
    return flatten_blocks(training.method.networks[name])


def test_each_cluster_averages_its_networks_by_sample_counts(make, told):
    told.append([0, 1, 0, 1])
    training = make()
    closed = training.train()
    copies = sent(closed)
    weights = {0: 16 / 21, 2: 5 / 21}, {1: 9 / 17, 3: 8 / 17}
    for name, own in enumerate(weights):
        assert_averaged(of_cluster(training, name), {k: copies[k] for k in own}, own, total_variance=False)
    assert closed.outcome.clients == {
        client: {"cluster": name, "weight": pytest.approx(own[client])}
        for name, own in enumerate(weights)
        for client in own
    }
    assert closed.outcome.facts == {"silhouette": 0.5, "cloud": False}
    assert training.method.clusters() == {0: 0, 1: 1, 2: 0, 3: 1}
    orders = training.method.orders(2, [0, 1, 2, 3])
    for client, name in training.method.clusters().items():
        assert_same_to_the_bit(orders.of(client).tensors["networks"], of_cluster(training, name))


def test_global_generators_are_averaged_over_all_clients_every_second_round(make, told):
    told += [[0, 1, 0, 1]] * 4
    training = make()
    before = flatten_blocks(training.method.global_generator)
    assert training.train().outcome.facts["cloud"] is False
    assert_same_to_the_bit(flatten_blocks(training.method.global_generator), before)
    closed = training.train()
    weights = {client: samples / 38 for client, samples in SAMPLES.items()}
    found = flatten_blocks(training.method.global_generator)
    assert_averaged(found, sent(closed, "global_generator"), weights, total_variance=False)
    everybody = training.method.orders(3, [0, 1, 2, 3])
    for client in SAMPLES:
        assert_same_to_the_bit(everybody.of(client).tensors["global_generator"], found)
    training.train()
    assert "global_generator" not in training.method.orders(4, [0]).of(0).tensors


def test_clients_that_drop_out_are_in_no_average_and_keep_their_cluster(make, told):
    told += [[0, 1, 0, 1], [0, 1, 1]]
    training = make()
    training.train()
    closed = training.train(absent=(2,))
    assert training.method.clusters() == {0: 0, 1: 1, 2: 0, 3: 1}
    copies = sent(closed)
    assert_averaged(of_cluster(training, 0), {0: copies[0]}, {0: 1.0}, total_variance=False)
    found = flatten_blocks(training.method.global_generator)
    weights = {0: 16 / 33, 1: 9 / 33, 3: 8 / 33}
    assert_averaged(found, sent(closed, "global_generator"), weights, total_variance=False)


def test_a_cluster_of_which_nobody_is_there_stays_as_it_is(make, told):
    told.append([0, 1, 0, 1])
    training = make()
    training.train()
    before = {name: tensor.clone() for name, tensor in of_cluster(training, 1).items()}
    training.train(clients=[0, 2])
    assert_same_to_the_bit(of_cluster(training, 1), before)


def test_clusters_are_found_anew_as_often_as_the_setting_says(make, told):
    told += [[0, 1, 0, 1], [0, 0, 1, 1]]
    training = make(rounds=5, **{"hflgan.recluster_every": 3})
    silhouettes = [training.train().outcome.facts["silhouette"] for _ in range(4)]
    assert silhouettes == [0.5, None, None, 0.5]
    assert told == []
    assert training.method.clusters()[0] == training.method.clusters()[1]


def test_a_round_of_half_of_the_clients_moves_nobody(make, told):
    told.append([0, 1, 0, 1])
    training = make()
    training.train()
    assert training.train(clients=[0, 2]).outcome.facts["silhouette"] is None
    assert training.method.clusters() == {0: 0, 1: 1, 2: 0, 3: 1}


def test_newcomers_begin_with_the_average_of_all_and_join_whom_they_are_most_like(make):
    """Clients 0 and 2 hold one domain, 1 and 3 the other."""
    training = make(samples={0: 40, 1: 40, 2: 40, 3: 40}, local_epochs=4)
    training.train(clients=[0, 1])
    clusters = dict(training.method.clusters())
    assert clusters[0] != clusters[1]
    order = training.method.orders(2, [2]).of(2)
    assert_same_to_the_bit(order.tensors["networks"], flatten_blocks(training.method.common))
    training.train(clients=[0, 1, 2, 3])
    found = training.method.clusters()
    assert {0: found[0], 1: found[1]} == clusters
    assert found[2] == found[0]
    assert found[3] == found[1]


def test_a_newcomer_in_a_small_round_joins_a_cluster(make):
    training = make(samples=dict.fromkeys(range(6), 40), local_epochs=4)
    training.train(clients=[0, 1])
    closed = training.train(clients=[0, 1, 2])
    assert closed.outcome.facts["silhouette"] is None
    assert training.method.clusters()[2] == training.method.clusters()[0]


def test_everybody_begins_alike(make):
    training = make()
    orders = training.method.orders(1, [0, 1])
    assert_same_to_the_bit(orders.of(0).tensors["networks"], orders.of(1).tensors["networks"])
    assert training.method.products() == []
    assert training.method.clusters() == {}


def test_products_are_the_generators_of_the_clusters(make, told):
    told.append([0, 1, 0, 1])
    training = make()
    training.train()
    products = training.method.products()
    assert [(each.name, each.clients) for each in products] == [("cluster-0", (0, 2)), ("cluster-1", (1, 3))]
    for number, product in enumerate(products):
        networks = of_cluster(training, number)
        assert set(product.tensors) == {name for name in networks if name.startswith("generator")}
        for name, tensor in product.tensors.items():
            assert torch.equal(tensor, networks[name]) or "running_" in name or "num_batches" in name
    assert training.method.judged_for([0, 1, 3]).name == "cluster-1"
    sample = HFLGAN.sampler(training.config, products[0].tensors)
    assert sample(torch.arange(3), torch.Generator().manual_seed(0)).shape == (3, 1, 28, 28)


def test_the_global_generator_is_judged_if_that_is_wanted(make):
    training = make(**{"hflgan.judged": "global"})
    training.train()
    assert training.method.products() == []
    training.train()
    (product,) = training.method.products()
    assert (product.name, product.clients) == ("global", (0, 1, 2, 3))
    weight = "generator.1.main.weight"
    assert torch.equal(product.tensors[weight], flatten_blocks(training.method.global_generator)[weight])


def test_more_clusters_than_clients_are_refused(make):
    with pytest.raises(ValueError, match=r"hflgan.clusters: 5 clusters for 4 clients; take fewer"):
        make(**{"hflgan.clusters": 5})


def test_one_cluster_is_plain_averaging(make):
    training = make(**{"hflgan.clusters": 1})
    closed = training.train()
    weights = {client: samples / 38 for client, samples in SAMPLES.items()}
    assert_averaged(of_cluster(training, 0), sent(closed), weights, total_variance=False)
    assert_same_to_the_bit(flatten_blocks(training.method.common), of_cluster(training, 0))


def test_all_that_it_must_remember_is_in_its_state(make):
    """Another server goes on from there to the bit, whatever it has seen."""
    first, second = make(), make()
    for _ in range(2):
        first.train()
    first.train(clients=[0, 1, 3])
    second.train(clients=[2])
    second.method.load(first.method.state().copied())
    assert_same_state(second.method.state(), first.method.state())
    _, hosted = first.begin()
    uploads = {client: Upload(tensors=upload.tensors) for client, upload in hosted.uploads.items()}
    for training in (first, second):
        orders = training.method.orders(4, [0, 1, 2, 3])
        assert [order.groups[1:] for order in orders.clients.values()] == [(), (), ("global",), ()]
        training.method.close_round(4, Collected(uploads=uploads))
    assert_same_state(second.method.state(), first.method.state())


def test_a_state_of_other_clients_is_refused(make):
    large, small = make(), make(samples={0: 16, 1: 9})
    large.train()
    with pytest.raises(
        ValueError, match=r"clusters of clients \[2, 3\], but the run has the clients \[0, 1\]"
    ):
        small.method.load(large.method.state())
