"""What FedGAN's clients and server exchange, written out by hand."""

from huscf_flwr.methods.contract import Facts
from huscf_flwr.methods.fedgan import FedGAN
from huscf_flwr.models import all_block_keys, build_network
from tests.run.builders import small_run, training_of


def fields(facts: type[Facts]) -> set[str]:
    return set(facts.model_fields)


def test_this_crosses_and_nothing_else():
    listed = FedGAN.crossing
    assert fields(listed.description) == {"samples", "device"}
    assert fields(listed.order) == set()
    assert listed.order_kinds == ("networks",)
    assert fields(listed.upload) == set()
    assert listed.upload_kinds == ("networks",)
    assert listed.exchanges == ()
    assert listed.product_kind == "generator"
    assert listed.scores == ("tstr_accuracy", "tstr_f1")


def test_networks_are_all_entries_of_both_networks_and_nothing_else(tmp_path):
    """By name and shape, down and up; the moments of the optimisers are not among them."""
    config = small_run(tmp_path, tmp_path, method="fedgan", clients=3, **{"model.width": 0.03})
    training = training_of(config)
    networks = {
        name: build_network(training.method.spec, name, seed=0) for name in ("generator", "discriminator")
    }
    expected = {
        f"{name}.{key}": tensor.shape
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }
    assert {name for name, _ in all_block_keys(training.method.spec)} == set(networks)
    opened, hosted = training.begin()
    sent = [opened.orders.of(client).tensors for client in training.clients]
    for tensors in (*sent, *(upload.tensors for upload in hosted.uploads.values())):
        assert set(tensors) == {"networks"}
        found = {name: tensor.shape for name, tensor in tensors["networks"].items()}
        assert found == expected
    assert all(upload.kept is not None for upload in hosted.uploads.values())


def test_the_average_travels_once_to_each_host(tmp_path):
    config = small_run(tmp_path, tmp_path, method="fedgan", clients=3, **{"model.width": 0.03})
    training = training_of(config)
    size = sum(t.numel() * t.element_size() for t in training.method.state().tensors.values())
    opened = training.rounds.open([[0, 2], [1]])
    assert opened.ledger.by_kind("down") == {"networks": 2 * size}
    assert opened.ledger.by_client("down") == {0: size, 1: size}
