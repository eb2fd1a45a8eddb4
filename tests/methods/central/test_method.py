import pytest
import torch

from huscf_flwr.data import PooledImages
from huscf_flwr.methods import method_named
from huscf_flwr.methods.central import Central, CentralClient
from huscf_flwr.methods.contract import NoFacts
from huscf_flwr.models import flatten_blocks
from tests.methods.classifiers import GivenImages
from tests.run.builders import DEVICE, assert_same_to_the_bit, images_of_client, small_run

SHARES = {0: (9, 7), 1: (5, 4, 2)}


def pooled(client, shares):
    images = images_of_client(client, sum(shares))
    return PooledImages(images.images, images.labels, shares)


@pytest.fixture
def make(tmp_path):
    def training(shares=SHARES, **settings):
        given = {"method": "central", "model.width": 0.03, "compute.precision": "float64", **settings}
        config = small_run(tmp_path, tmp_path, **given)
        return GivenImages(config, {client: pooled(client, own) for client, own in shares.items()})

    return training


def test_its_name_finds_it():
    assert method_named("central") is Central


def test_what_crosses_is_this_and_no_more():
    crossing = Central.crossing
    assert set(crossing.description.model_fields) == {"samples", "device", "largest"}
    assert set(crossing.order.model_fields) == {"steps"}
    assert (crossing.order_kinds, crossing.upload_kinds) == (("networks",), ("networks",))
    assert crossing.upload is NoFacts
    assert (crossing.exchanges, crossing.product_kind, crossing.scores) == ((), "", ())


def test_one_domain_in_steps_of_fedgans_size_is_fedgan_with_one_client_to_the_bit(make):
    """Which is plain training: tests/methods/fedgan/test_client.py."""
    central = make({0: (16,)}, **{"central.batch_size": 8})
    fedgan = make({0: (16,)}, method="fedgan")
    for _ in range(3):
        assert central.train().collected.uploads[0].losses == fedgan.train().collected.uploads[0].losses
        expected = flatten_blocks(fedgan.method.networks)
        assert_same_to_the_bit(flatten_blocks(central.method.networks[0]), expected)


def test_it_takes_as_many_steps_as_huscf_with_the_clients_that_were_pooled(make):
    """The largest of all has 9 images: two batches of 8, in whichever domain, however large the pool."""
    training = make(local_epochs=3)
    assert training.method.steps(1, [0, 1]) == training.method.steps(1, [1]) == 6
    orders = training.method.orders(1, [0, 1])
    assert {orders.of(client).facts.steps for client in (0, 1)} == {6}
    taken = []
    for client in (0, 1):
        member = training.make_client(client)
        member.begin(1, orders.of(client))
        taken.append(len(list(member.train())))
    assert taken == [6, 6]


@pytest.mark.parametrize(("size", "expected"), [(4, 4), (128, 11)])
def test_a_batch_has_the_size_of_its_own_setting(make, monkeypatch, size, expected):
    sizes = []
    monkeypatch.setattr(
        "huscf_flwr.methods.whole_networks.unsplit_step",
        lambda networks, batch: sizes.append(len(batch.labels)) or {"generator": 0.0, "discriminator": 0.0},
    )
    training = make(**({} if size == 128 else {"central.batch_size": size}))
    member = training.make_client(1)
    member.begin(1, training.method.orders(1, [1]).of(1))
    list(member.train())
    assert sizes[0] == expected


def test_images_of_one_client_alone_are_refused(make):
    config = make().config
    with pytest.raises(ValueError, match="pooled images of all clients, which only a simulation has"):
        CentralClient(0, images_of_client(0, 4), DEVICE, config)


@pytest.mark.slow
def test_each_domain_has_networks_of_its_own_and_a_product(make):
    training = make()
    before = [product.name for product in training.method.products()]
    training.train()
    products = training.method.products()
    assert before == [product.name for product in products] == ["pool-0", "pool-1"]
    assert [product.clients for product in products] == [(0,), (1,)]
    assert all(name.startswith("generator.") for product in products for name in product.tensors)
    assert any(not torch.equal(t, products[1].tensors[name]) for name, t in products[0].tensors.items())


@pytest.mark.slow
def test_a_state_is_all_that_it_must_remember(make):
    first, second = make(), make()
    first.train()
    second.method.load(first.method.state().copied())
    assert_same_to_the_bit(second.method.state().tensors, first.method.state().tensors)
    for mine, theirs in zip(second.method.products(), first.method.products(), strict=True):
        assert_same_to_the_bit(mine.tensors, theirs.tensors)


def test_a_domain_that_drops_out_keeps_its_networks(make):
    training = make()
    training.train()
    before = flatten_blocks(training.method.networks[1])
    training.train(absent=(1,))
    assert_same_to_the_bit(flatten_blocks(training.method.networks[1]), before)
