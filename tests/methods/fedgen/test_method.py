"""Rounds of FedGen beside loops in plain PyTorch, in float64."""

import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.fedgen import FedGen
from huscf_flwr.methods.fedgen.generator import FeatureGenerator
from huscf_flwr.models.classifiers import classifier_of
from huscf_flwr.seeding import torch_stream
from tests.methods.classifiers import small_classifiers, with_labels
from tests.run.builders import assert_same_to_the_bit, descriptions

NOISE, HIDDEN, STEPS, RATE, BATCH, CLASSES, FEATURES = 3, 5, 4, 0.01, 8, 10, 6
IMAGES = {0: with_labels(1, 1, 2), 1: with_labels(2, 9, 9, 4), 2: with_labels(9)}


@pytest.fixture
def make(tmp_path):
    def training(images=None, **settings):
        given = {
            "local_epochs": 2,
            "classifier.learning_rate": 0.1,
            "fedgen.weight": 10.0,
            "fedgen.noise": NOISE,
            "fedgen.hidden": HIDDEN,
            "fedgen.server_steps": STEPS,
            "fedgen.server_learning_rate": RATE,
        }
        return small_classifiers(tmp_path, images or IMAGES, method="fedgen", **{**given, **settings})

    return training


def sent(closed):
    return {k: upload.tensors["head"] for k, upload in sorted(closed.collected.uploads.items())}


def generator_from(tensors, prefix=""):
    generator = FeatureGenerator(NOISE, CLASSES, HIDDEN, FEATURES).double()
    generator.load_state_dict({name: tensors[prefix + name].clone() for name in generator.state_dict()})
    return generator


def plain_server_round(generator, adam, heads, number, seed, decay=0.98):
    """The steps of a round, with losses in a loop over clients and images."""
    counts = {k: IMAGES[k].labels.bincount(minlength=CLASSES).double() for k in heads}
    total = sum(counts.values())
    classes, stream = total.nonzero().squeeze(1), torch_stream(seed, "feature generator", number)
    adam.param_groups[0]["lr"] = RATE * decay ** (number - 1)
    for _ in range(STEPS):
        labels = classes[torch.randint(len(classes), (BATCH,), generator=stream)]
        noise = torch.randn(BATCH, NOISE, generator=stream, dtype=torch.float64)
        features = generator(noise, labels)
        taught = 0
        for k, head in heads.items():
            logits = features @ head["weight"].T + head["bias"]
            for row, label in enumerate(labels):
                share = counts[k][label] / total[label]
                taught = taught + share * functional.cross_entropy(logits[row], label) / BATCH
        pairs = 0
        for one in range(BATCH):
            for other in range(BATCH):
                apart = (noise[one] - noise[other]).square().mean()
                pairs = pairs + apart * (features[one] - features[other]).abs().mean() / BATCH**2
        adam.zero_grad()
        (taught + torch.exp(-pairs)).backward()
        adam.step()


def test_the_server_trains_its_generator_as_a_plain_loop_does(make):
    training = make()
    generator = generator_from(training.method.state().tensors, "generator.weights.")
    adam = torch.optim.Adam(generator.parameters(), weight_decay=0.01)
    for number in (1, 2):
        heads = sent(training.train())
        plain_server_round(generator, adam, heads, number, training.config.seed)
        told = training.method.orders(number + 1, [0]).of(0).tensors["generator"]
        assert told["classes"].tolist() == [1, 2, 4, 9]
        for name, tensor in generator.state_dict().items():
            torch.testing.assert_close(told[name], tensor, rtol=1e-7, atol=1e-9)


def test_a_client_trains_as_a_plain_loop_does(make):
    training = make()
    training.train()
    order = training.method.orders(2, [1]).of(1)
    client = training.make_client(1)
    client.begin(2, order)
    losses = list(client.train())

    images, seed = IMAGES[1], training.config.seed
    network = classifier_of(training.config, 1, dtype=torch.float64)
    network.head.load_state_dict(order.tensors["head"])
    sgd = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.5)
    generator = generator_from(order.tensors["generator"]).eval().requires_grad_(False)
    passes = torch_stream(seed, "classifier order", 1, 2)
    stream, known = torch_stream(seed, "generated features", 1, 2), torch.tensor([1, 2, 4, 9])
    for place in range(2):
        chosen = torch.randperm(len(images), generator=passes)
        features = network.features(images.images[chosen].double() / 127.5 - 1)
        labels = images.labels[chosen]
        loss = functional.cross_entropy(network.head(features), labels)
        drawn = known[torch.randint(4, (len(labels),), generator=stream)]
        noise = torch.randn(len(labels), NOISE, generator=stream, dtype=torch.float64)
        generated = functional.cross_entropy(network.head(generator(noise, drawn)), drawn)
        noise = torch.randn(len(labels), NOISE, generator=stream, dtype=torch.float64)
        target = network.head(generator(noise, labels)).softmax(1).detach()
        predicted = network.head(features).log_softmax(1)
        apart = (target * (target.log() - predicted)).sum(1).mean()
        assert losses[place]["classifier"] == pytest.approx(float(loss.detach()))
        assert losses[place]["generated"] == pytest.approx(float((generated + apart).detach()))
        sgd.zero_grad()
        (loss + 10 * 0.98 * (generated + apart)).backward()
        sgd.step()
    found = client.training.network.state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-12)


def test_in_the_first_round_clients_learn_from_their_images_alone(make):
    training = make()
    client = training.make_client(0)
    client.begin(1, Order())
    assert [each["generated"] for each in client.train()] == [0.0, 0.0]


@pytest.mark.parametrize("heads", ["averaged", "own"])
def test_a_client_begins_with_the_head_that_the_setting_says(make, heads):
    training = make(**{"fedgen.heads": heads})
    uploaded = sent(training.train())
    samples = {k: len(images) for k, images in IMAGES.items()}
    average = {
        name: sum(samples[k] * uploaded[k][name] for k in samples) / sum(samples.values())
        for name in ("weight", "bias")
    }
    for name, tensor in average.items():
        torch.testing.assert_close(training.method.head[name], tensor)
    order = training.method.orders(2, [1]).of(1)
    client = training.make_client(1)
    before = {name: tensor.clone() for name, tensor in client.training.network.head.state_dict().items()}
    client.begin(2, order)
    expected = order.tensors["head"] if heads == "averaged" else before
    assert ("head" in order.tensors) is (heads == "averaged")
    assert_same_to_the_bit(client.training.network.head.state_dict(), expected)


def test_what_nobody_has_in_a_round_is_not_generated_in_it_and_what_was_learnt_stays(make, monkeypatch):
    training = make()
    drawn = []
    forward = FeatureGenerator.forward

    def watched(self, noise, labels):
        drawn.extend(labels.tolist())
        return forward(self, noise, labels)

    monkeypatch.setattr(FeatureGenerator, "forward", watched)
    training.train(clients=[0])
    assert set(drawn) == {1, 2}
    assert training.method.orders(2, [2]).of(2).tensors["generator"]["classes"].tolist() == [1, 2]
    drawn.clear()
    closed = training.train(clients=[2])
    assert set(drawn) <= {1, 2, 9}
    assert closed.collected.uploads[2].losses["generated"] > 0
    assert training.method.learnt.nonzero().squeeze(1).tolist() == [1, 2, 9]


def test_a_head_with_weight_for_the_student_trains_another_generator(make):
    plain, student = make(), make(**{"fedgen.student_weight": 1.0})
    for training in (plain, student):
        training.train()
    orders = [each.method.orders(2, [0]).of(0) for each in (plain, student)]
    one, other = (order.tensors["generator"]["out.weight"] for order in orders)
    assert other.isfinite().all()
    assert not torch.equal(one, other)


def test_clients_must_have_counted_the_models_classes(make):
    with pytest.raises(TypeError, match="a client of fedgen describes itself by LabelCounts"):
        FedGen(make().method.config, descriptions())
    with pytest.raises(ValueError, match="client 0 counts images of 11 classes"):
        make({0: with_labels(10)})


@pytest.mark.parametrize(
    ("key", "value"),
    [("heads", "mean"), ("noise", 0), ("server_steps", 0), ("weight", -1), ("decay", 0), ("decay", 1.5)],
)
def test_settings_that_cannot_be(make, key, value):
    with pytest.raises(ValueError, match=rf"'fedgen\.{key}' is"):
        make(**{f"fedgen.{key}": value})
