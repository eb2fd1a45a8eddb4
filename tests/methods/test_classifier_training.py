import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods.classifier_training import ClassifierTraining, ExtraLoss, held_classes
from huscf_flwr.models.classifiers import classifier_of
from huscf_flwr.seeding import torch_stream
from tests.run.builders import SMALL_FAMILY, assert_same_to_the_bit, images_of_client, small_run

SAMPLES = 17
BATCH = 8
"""So that the last batch of a pass has one image."""


@pytest.fixture
def config(tmp_path):
    settings = {
        "compute.precision": "float64",
        "classifier.family": SMALL_FAMILY,
        "classifier.learning_rate": 0.1,
    }
    return small_run(tmp_path, tmp_path, batch_size=BATCH, **settings)


@pytest.fixture
def images():
    return images_of_client(1, SAMPLES)


def pixels_of(images):
    return images.images.double() / 127.5 - 1


class PlainTraining:
    """A network, an optimiser and a loop."""

    def __init__(self, config, client, images):
        self.network = classifier_of(config, client, dtype=torch.float64)
        section = config.classifier
        self.sgd = torch.optim.SGD(
            self.network.parameters(), lr=section.learning_rate, momentum=section.momentum
        )
        self.config, self.client, self.images = config, client, images

    def train(self, epochs, number, weight=0.0):
        stream = torch_stream(self.config.seed, "classifier order", self.client, number)
        found = []
        for _ in range(epochs):
            order = torch.randperm(SAMPLES, generator=stream)
            for start in range(0, SAMPLES, BATCH):
                chosen = order[start : start + BATCH]
                features = self.network.features(pixels_of(self.images)[chosen])
                loss = functional.cross_entropy(self.network.head(features), self.images.labels[chosen])
                size = features.square().mean()
                self.sgd.zero_grad()
                (loss + weight * size).backward()
                self.sgd.step()
                found.append((loss.item(), size.item()))
        return found


def weights_of(training):
    return training.network.state_dict()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_it_is_plain_training_to_the_bit(config, images, momentum):
    section = config.classifier.model_copy(update={"momentum": momentum})
    config = config.model_copy(update={"classifier": section})
    training, plain = ClassifierTraining(1, config), PlainTraining(config, 1, images)
    for number, epochs in ((1, 2), (2, 1)):
        losses = list(training.train(images, epochs=epochs, number=number))
        assert [each["classifier"] for each in losses] == [loss for loss, _ in plain.train(epochs, number)]
        assert all(each.keys() == {"classifier"} for each in losses)
    assert_same_to_the_bit(weights_of(training), plain.network.state_dict())


def test_an_extra_loss_is_added_with_its_weight_and_told_without_it(config, images):
    training, plain = ClassifierTraining(1, config), PlainTraining(config, 1, images)
    extra = ExtraLoss("size", 0.25, lambda features, labels: features.square().mean())
    losses = list(training.train(images, epochs=2, number=1, extra=extra))
    assert [(each["classifier"], each["size"]) for each in losses] == plain.train(2, 1, weight=0.25)
    assert_same_to_the_bit(weights_of(training), plain.network.state_dict())


def test_states_go_on_to_the_bit_with_their_momentum(config, images):
    lasting, first, second = (ClassifierTraining(1, config) for _ in range(3))
    for training in (lasting, first):
        list(training.train(images, epochs=1, number=1))
    second.load({name: tensor.clone() for name, tensor in first.states().items()})
    assert_same_to_the_bit(second.states(), first.states())
    for training in (lasting, second):
        list(training.train(images, epochs=1, number=2))
    assert_same_to_the_bit(second.states(), lasting.states())
    assert {name.partition(".")[0] for name in second.states()} == {"weights", "momentum"}


def test_states_from_before_the_first_batch_have_no_momentum(config, images):
    fresh, trained = ClassifierTraining(1, config), ClassifierTraining(1, config)
    list(trained.train(images, epochs=1, number=1))
    trained.load(fresh.states())
    assert_same_to_the_bit(trained.states(), fresh.states())


def test_states_of_another_architecture_are_refused(config):
    with pytest.raises(RuntimeError, match="state_dict"):
        ClassifierTraining(0, config).load(ClassifierTraining(1, config).states())


def test_features_and_logits_are_those_of_all_images_in_order(config, monkeypatch):
    monkeypatch.setattr("huscf_flwr.methods.classifier_training._IMAGES_AT_ONCE", 5)
    training, images = ClassifierTraining(1, config), images_of_client(1, SAMPLES)
    features, logits = training.features_of(images.images), training.logits_of(images.images)
    network = training.network
    torch.testing.assert_close(features, network.features(pixels_of(images)).detach())
    torch.testing.assert_close(logits, network(pixels_of(images)).detach())
    assert not features.requires_grad
    assert not logits.requires_grad
    assert network.training


def test_images_may_be_bytes_or_what_a_generator_draws(config, images):
    training = ClassifierTraining(1, config)
    expected = training.logits_of(images.images)
    torch.testing.assert_close(training.logits_of(pixels_of(images)), expected, rtol=0, atol=0)
    torch.testing.assert_close(training.logits_of(pixels_of(images).float()), expected, rtol=1e-5, atol=1e-5)


def test_class_means_are_those_of_the_weights_as_they_are(config, images):
    training = ClassifierTraining(1, config)
    list(training.train(images, epochs=1, number=1))
    found = training.class_means(images)
    features = training.network.features(pixels_of(images)).detach()
    assert list(found.classes) == sorted(set(images.labels.tolist()))
    assert list(found.counts) == [images.labels.tolist().count(each) for each in found.classes]
    for row, each in zip(found.means, found.classes, strict=True):
        torch.testing.assert_close(row, features[images.labels == each].mean(0))


def test_held_classes():
    assert held_classes(torch.tensor([7, 2, 7, 7])) == ((2, 7), (1, 3))
