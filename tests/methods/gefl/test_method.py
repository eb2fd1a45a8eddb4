"""What GeFL's server averages and lends, and how its clients learn from it."""

import pytest
import torch

from huscf_flwr.methods import method_of
from huscf_flwr.methods.classifier_training import ClassifierTraining
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.gefl import GeFL, GeFLAutoencoder
from huscf_flwr.methods.gefl.crossing import GeFLOrder
from huscf_flwr.methods.generators import measured_generator
from huscf_flwr.models import flatten_blocks
from tests.methods.classifiers import small_classifiers, with_labels
from tests.run.builders import assert_same_to_the_bit, descriptions

IMAGES = {0: with_labels(1, 1, 2), 1: with_labels(2, 9, 9, 4, 4), 2: with_labels(9)}
GENERATORS = ("cvae", "dcgan")


@pytest.fixture
def make(tmp_path):
    def training(images=None, **settings):
        settings = {"model.width": 0.03, "rounds": 2, **settings}
        return small_classifiers(tmp_path, images or IMAGES, method="gefl", **settings)

    return training


@pytest.mark.parametrize(("generator", "variant"), [("cvae", GeFLAutoencoder), ("dcgan", GeFL)])
def test_the_setting_chooses_the_variant(make, generator, variant):
    training = make(**{"gefl.generator": generator})
    assert type(training.method) is method_of(training.config) is variant


@pytest.mark.parametrize("generator", GENERATORS)
def test_networks_are_averaged_by_sample_counts(make, generator):
    training = make(**{"gefl.generator": generator})
    closed = training.train()
    sent = {k: upload.tensors["networks"] for k, upload in closed.collected.uploads.items()}
    total = sum(map(len, IMAGES.values()))
    averaged = flatten_blocks(training.method.networks)
    assert averaged.keys() == sent[0].keys()
    for name, tensor in averaged.items():
        if tensor.is_floating_point():
            expected = sum(len(IMAGES[k]) * sent[k][name] for k in IMAGES) / total
            torch.testing.assert_close(tensor, expected)


def test_first_the_generator_then_classifiers(make):
    training = make(rounds=4, **{"gefl.generator_rounds": 3})
    for number in (1, 2, 3, 4):
        order = training.method.orders(number, [0]).of(0)
        assert order.facts.classifies is (number == 4)
        assert set(order.tensors) == ({"generator"} if number == 4 else {"networks"})
        closed = training.train()
        for upload in closed.collected.uploads.values():
            assert set(upload.tensors) == (set() if number == 4 else {"networks"})
            assert set(upload.losses) == ({"classifier"} if number == 4 else {"reconstruction", "divergence"})
    lent = training.method.orders(4, [1]).of(1).tensors["generator"]
    expected = flatten_blocks(measured_generator(training.config, training.method.networks))
    assert_same_to_the_bit(lent, expected)
    (product,) = training.method.products()
    assert_same_to_the_bit(product.tensors, expected)


@pytest.mark.parametrize("mixing", ["before", "together"])
def test_a_classifier_learns_from_drawn_images_and_its_own(make, mixing):
    training = make(local_epochs=2, **{"gefl.mixing": mixing, "gefl.drawn_epochs": 3})
    training.train()
    order = training.method.orders(2, [1]).of(1)
    client, plain = training.make_client(1), ClassifierTraining(1, training.config)
    client.begin(2, order)
    found = list(client.train())
    drawn, own = client.drawn(), IMAGES[1]
    assert len(drawn) == len(own)
    assert set(drawn.labels.tolist()) <= {1, 2, 4, 9}
    if mixing == "before":
        expected = [
            *plain.train(drawn, epochs=3, number=2, purpose="drawn"),
            *plain.train(own, epochs=2, number=2),
        ]
    else:
        images = torch.cat([own.images, drawn.images, drawn.images, drawn.images])
        labels = torch.cat([own.labels, drawn.labels, drawn.labels, drawn.labels])
        expected = list(plain.train(type(own)(images, labels), epochs=2, number=2))
    assert found == expected
    assert_same_to_the_bit(client.training.states(), plain.states())
    assert len(found) <= training.method.steps(2, [0, 1, 2])


def test_drawn_images_are_the_generators_and_other_ones_in_each_round(make):
    training = make(rounds=3, **{"gefl.generator_rounds": 1})
    training.train()
    drawn = {}
    for number in (2, 3):
        client = training.make_client(1)
        client.begin(number, training.method.orders(number, [1]).of(1))
        drawn[number] = client.drawn()
        again = client.drawn()
        assert torch.equal(drawn[number].images, again.images)
    assert not torch.equal(drawn[2].images, drawn[3].images)


def test_what_nobody_had_while_the_generator_was_trained_is_not_drawn(make):
    training = make()
    training.train(clients=[0])
    assert training.method.orders(2, [2]).of(2).facts == GeFLOrder(classifies=True, classes=(1, 2))
    client = training.make_client(2)
    client.begin(2, training.method.orders(2, [2]).of(2))
    assert set(client.drawn().labels.tolist()) <= {1, 2}


@pytest.mark.parametrize("generator", GENERATORS)
def test_moments_are_kept_while_there_is_a_generator_to_train(make, generator):
    training = make(rounds=3, **{"gefl.generator": generator, "gefl.generator_rounds": 2})
    lasting = training.make_client(0)
    for number in (1, 2):
        order = training.method.orders(number, [0, 1, 2]).of(0)
        lasting.begin(number, Order(facts=order.facts, tensors=order.tensors))
        list(lasting.train())
        closed = training.train()
        assert_same_to_the_bit(
            closed.collected.uploads[0].tensors["networks"], lasting.upload().tensors["networks"]
        )
    assert any(name.startswith("moments.") for name in lasting.private())
    client = training.make_client(0)
    client.load_private(lasting.private())
    client.begin(3, training.method.orders(3, [0]).of(0))
    assert all(name.startswith("classifier.") for name in client.private())


def test_clients_must_have_told_their_classes(make):
    with pytest.raises(TypeError, match="a client of gefl describes itself by HeldClasses"):
        GeFL(make().method.config, descriptions())


@pytest.mark.parametrize("count", [2, 3])
def test_generator_rounds_that_leave_none_for_classifiers_are_refused(make, count):
    config = make(**{"gefl.generator_rounds": count}).config
    with pytest.raises(
        ValueError,
        match=rf"gefl.generator_rounds: {count}, but rounds is 2; set the former to at most 1, or rounds to "
        rf"at least {count + 1}: .* classifiers are trained",
    ):
        GeFL.check(config)
    GeFL.check(make(**{"gefl.generator_rounds": 1}).config)


def test_one_round_is_too_few_for_a_generator_and_classifiers(make):
    with pytest.raises(ValueError, match="generator_rounds: 1, but rounds is 1; set rounds to at least 2"):
        GeFL.check(make(rounds=1).config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("generator", "ddpm"), ("generator_rounds", 0), ("drawn_epochs", 0), ("mixing", "after")],
)
def test_settings_that_cannot_be(make, key, value):
    with pytest.raises(ValueError, match=rf"'gefl\.{key}' is"):
        make(**{f"gefl.{key}": value})
