import pytest
import torch

from huscf_flwr.models import (
    NETWORKS,
    Cut,
    all_block_keys,
    client_block_keys,
    flatten_blocks,
    largest_cut,
    unflatten_blocks,
)
from tests.methods.huscf.builders import ScriptedClusters, huscf_training
from tests.run.builders import SAMPLES, assert_same_to_the_bit


@pytest.fixture
def make(tmp_path):
    def trained(rounds=1, **settings):
        training = huscf_training(tmp_path, **settings)
        for _ in range(rounds):
            training.train()
        return training

    return trained


def test_a_clusters_model_is_the_middles_of_the_server_and_its_own_blocks(make):
    method = make().method
    cluster = method.clusters()[0]
    model = method.models.model_states(cluster, largest_cut(method.spec))
    assert list(model) == list(all_block_keys(method.spec))
    body = method.bodies.segments.states()
    for (network, index), state in model.items():
        middle = index == method.spec.network(network).middle_index
        expected = (body if middle else method.models.blocks[cluster])[network, index]
        assert {name: t.data_ptr() for name, t in state.items()} == {
            name: t.data_ptr() for name, t in expected.items()
        }


def test_a_clients_model_is_what_it_runs_with_the_server(make):
    method = make().method
    body = method.bodies.segments.states()
    for client, cut in method.cuts.now.items():
        cluster = method.clusters()[client]
        kept = client_block_keys(method.spec, cut)
        for key, state in method.models.model_states(cluster, cut).items():
            expected = method.models.blocks[cluster][key] if key in kept else body[key]
            assert torch.equal(state["main.weight"], expected["main.weight"])


def test_blocks_that_no_client_keeps_are_the_servers(make):
    """All clients have the lightest cut: blocks 2 and 4 are in no cluster's average."""
    method = make(cuts=dict.fromkeys(SAMPLES, Cut())).method
    model = method.models.model_states(0, largest_cut(method.spec))
    body = method.bodies.segments.states()
    for index in (1, 2, 3):
        assert torch.equal(model["generator", index]["main.weight"], body["generator", index]["main.weight"])


@pytest.mark.parametrize("statistics", ["measured", "averaged"])
def test_a_clusters_generator_is_its_models_with_the_statistics_that_are_asked_for(make, statistics):
    method = make(**{"huscf.running_statistics": statistics}).method
    (product, *_) = method.products()
    states = unflatten_blocks(product.tensors)
    model = method.models.model_states(0, largest_cut(method.spec))
    assert states.keys() == {key for key in model if key[0] == "generator"}
    for key, state in states.items():
        assert torch.equal(state["main.bias"], model[key]["main.bias"])
        if "norm.running_mean" in state:
            same = torch.equal(state["norm.running_mean"], model[key]["norm.running_mean"])
            assert same == (statistics == "averaged")


def test_a_generator_is_that_of_the_last_round(make):
    training = make()
    models, cut = training.method.models, largest_cut(training.method.spec)
    first = models.generator_states(0, cut)
    assert models.generator_states(0, cut) is first
    training.train()
    later = models.generator_states(models.names[0], cut)
    assert not torch.equal(later["generator", 0]["main.weight"], first["generator", 0]["main.weight"])


def test_products_are_named_after_their_clusters_and_have_their_clients(make):
    method = make(parts={"clusterer": ScriptedClusters((0, 1, 0))}).method
    products = [(product.name, product.clients) for product in method.products()]
    assert products == [("cluster-0", (0, 2)), ("cluster-1", (1,))]


def test_a_clusters_model_has_its_own_body(make):
    rounds = [(0, 0, 1), (0, 0, 1)]
    training = make(2, parts={"clusterer": ScriptedClusters(*rounds)}, **{"huscf.bodies": "parted"})
    training.train()
    method = training.method
    assert set(method.bodies.bodies) == {0, 1}
    for cluster in (0, 1):
        states = method.models.model_states(cluster, largest_cut(method.spec))
        for network in NETWORKS:
            middle = (network, method.spec.network(network).middle_index)
            own = method.bodies.bodies[cluster].states()[middle]
            assert states[middle]["main.weight"].equal(own["main.weight"])


def test_who_is_absent_stays_and_its_cluster_with_it(make):
    """The second of two clusters is given up by those who are there: it is still that of the third."""
    method = make().method
    blocks = method.models.blocks[0]
    method.models.load({0: 0, 1: 1, 2: 1}, {0: blocks, 1: blocks})
    method.models.take({0: 0, 1: 0}, {0: blocks})
    assert method.models.of_client == {0: 0, 1: 0, 2: 1}
    assert method.models.blocks.keys() == {0, 1}
    method.models.take({2: 0}, {})
    assert method.models.blocks.keys() == {0}


def test_the_first_client_is_judged_by_what_it_runs_under_the_name_of_its_cluster(make):
    """Bodies are averaged over all clients, blocks over a cluster's own: whose a block is matters."""
    clusterer = ScriptedClusters((0, 1, 1), (0, 1, 1))
    cuts = {0: Cut(2, 2, 2, 2), 1: Cut(1, 1, 1, 1), 2: Cut(2, 2, 2, 2)}
    settings = {
        "huscf.judged": "first-client",
        "huscf.bodies": "shared",
        "huscf.running_statistics": "averaged",
    }
    method = make(rounds=2, cuts=cuts, parts={"clusterer": clusterer}, **settings).method
    product = method.judged_for([2, 1])
    assert (product.name, product.clients) == ("cluster-1", (1, 2))
    model = method.models.model_states(1, cuts[1])
    own = {key: state for key, state in model.items() if key[0] == "generator"}
    assert_same_to_the_bit(product.tensors, flatten_blocks(own))
    whole = next(each for each in method.products() if each.name == product.name)
    assert any(not torch.equal(tensor, whole.tensors[name]) for name, tensor in product.tensors.items())


def test_others_are_judged_by_the_model_of_most_of_them(make):
    method = make(parts={"clusterer": ScriptedClusters((0, 1, 1))}).method
    (_, second) = method.products()
    assert_same_to_the_bit(method.judged_for([0, 1, 2]).tensors, second.tensors)
