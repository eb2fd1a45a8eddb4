import pytest
import torch
from pydantic import ValidationError

from huscf_flwr.methods import method_named, method_of, resolved
from huscf_flwr.methods.contract import Description
from huscf_flwr.methods.uagan import UAGAN
from huscf_flwr.methods.uagan.crossing import UAGANDescription
from tests.methods.classifiers import GivenImages
from tests.methods.server_generator.plain import (
    Plain,
    assert_equal_networks,
    begun,
    run_step,
    server_training,
    weights_of,
)
from tests.run.builders import DEVICE, DOMAINS, striped_images


class PlainUAGAN(Plain):
    """One batch for all; the generator learns from the formula on probabilities, in one graph."""

    def step(self, number, step, real, judging=None):
        counts = {k: torch.bincount(each.labels, minlength=10).double() for k, each in self.images.items()}
        held = [label for label in range(10) if sum(float(each[label]) for each in counts.values())]
        fakes = self.fakes(number, step, classes=held)
        images, labels = fakes
        for client in real:
            self.train_discriminator(client, fakes, next(real[client]))
        judges = list(real if judging is None else judging)
        of_labels = {client: counts[client][labels] for client in judges}
        together = sum(of_labels.values())
        odds = 0.0
        for client in judges:
            judged = self.discriminators[client](images, labels).sigmoid().flatten()
            odds = odds + of_labels[client] / together * judged / (1 - judged)
        loss = -torch.log(odds / (1 + odds)).mean()
        self.take_step("generator", loss)
        return loss.item()

    def train_round(self, number, steps):
        real = {client: self.real_batches(client, number) for client in self.images}
        losses = [self.step(number, step, real) for step in range(1, steps + 1)]
        return sum(losses) / len(losses)


@pytest.fixture
def make(tmp_path):
    def training(**settings):
        return server_training(tmp_path, "uagan", **settings)

    return training


def of_classes(client, *classes):
    """Six images of each of some classes."""
    images = striped_images(DOMAINS[client % 2], 6)
    return images.subset(torch.isin(images.labels, torch.tensor(classes)).nonzero().flatten())


def given(make, images):
    config = make(samples={client: len(own) for client, own in images.items()}).config
    return GivenImages(config, images)


def test_its_name_finds_it():
    assert method_named("uagan") is UAGAN


def test_rounds_are_those_of_the_formula(make):
    """Two rounds of two steps."""
    training = make()
    plain = PlainUAGAN(training, own=True)
    for number in (1, 2):
        closed = training.train()
        expected = plain.train_round(number, steps=2)
        assert closed.outcome.facts["generator_loss"] == pytest.approx(expected, abs=1e-10)
        assert_equal_networks(weights_of(training.method.generator), plain.generator)
        for client, network in plain.discriminators.items():
            assert_equal_networks(training.host._clients[client].states(), network)


def test_the_discriminator_of_a_client_never_leaves_it(make):
    opened, hosted = (training := make()).begin()
    for client in training.clients:
        assert opened.orders.of(client).tensors == {}
        assert hosted.uploads[client].tensors == {}
        assert any(name.startswith("own.discriminator") for name in training.host._clients[client].private())


def test_labels_are_drawn_from_those_that_somebody_has(make):
    training = given(make, {0: of_classes(0, 1, 4), 1: of_classes(1, 4, 8)})
    executor, members = begun(training)
    drawn = {label for step in range(1, 7) for label in run_step(executor, members, step)[1][0][1].tolist()}
    assert drawn == {1, 4, 8}


def test_with_some_of_the_clients_labels_are_drawn_from_theirs(make):
    training = given(make, {0: of_classes(0, 1), 1: of_classes(1, 8)})
    executor, members = begun(training, clients=[1])
    assert set(run_step(executor, members)[1][1][1].tolist()) == {8}


def test_who_has_no_image_of_a_label_has_no_say_in_it(make):
    training = given(make, {0: of_classes(0, 1, 4), 1: of_classes(1, 4, 8)})
    executor, members = begun(training)
    answers = run_step(executor, members)
    labels = answers[1][0][1]
    first, second = (answers[2][client][0] for client in (0, 1))
    assert torch.equal(first == 0, labels == 8)
    assert torch.equal(second == 0, labels == 1)


@pytest.mark.parametrize(("gone", "judging"), [({1: 2}, (0, 2)), ({2: 2}, (0, 1))])
def test_shares_are_among_those_whose_logits_came(make, gone, judging):
    training = make(samples={0: 16, 1: 16, 2: 16})
    executor, members = begun(training)
    labels = run_step(executor, members, gone=gone)[1][0][1]
    plain = PlainUAGAN(training, own=True)
    counts = torch.stack([torch.bincount(plain.images[k].labels, minlength=10) for k in judging])
    assert (counts.sum(0)[labels] > 0).all(), "the formula knows of no fake that nobody can judge"
    real = {client: plain.real_batches(client, 1) for client in (0, 1, 2)}
    plain.step(1, 1, real, judging=judging)
    assert_equal_networks(weights_of(training.method.generator), plain.generator)


def test_gradients_that_do_not_come_are_not_in_the_sum(make):
    """Without any there is no step."""
    training = make()
    executor, members = begun(training)
    run_step(executor, members, gone={0: 3, 1: 3, 2: 3})
    assert not any(name.startswith("moments/") for name in training.method.generator.tensors())
    executor, members = begun(training)
    run_step(executor, members, gone={0: 3})
    assert any(name.startswith("moments/") for name in training.method.generator.tensors())


def test_if_all_are_gone_before_they_have_judged_nothing_happens(make):
    training = make()
    executor, members = begun(training)
    run_step(executor, members, gone={0: 2, 1: 2, 2: 2})
    assert executor.losses == []
    assert not any(name.startswith("moments/") for name in training.method.generator.tensors())


def test_a_client_tells_how_many_images_of_each_class_it_has(make):
    training = given(make, {0: of_classes(0, 1, 4), 1: of_classes(1, 9)})
    told = training.make_client(0).describe()
    assert told.counts == (0, 6, 0, 0, 6, 0, 0, 0, 0, 0)
    assert sum(told.counts) == told.samples


def test_counts_that_do_not_add_up_are_refused():
    with pytest.raises(ValidationError, match="give one count for each class, which add up"):
        UAGANDescription(samples=3, device=DEVICE, counts=(1, 1))


def test_classes_that_the_model_lacks_are_refused(make):
    config = resolved(make().config)
    told = UAGANDescription(samples=3, device=DEVICE, counts=(0,) * 10 + (3,))
    with pytest.raises(ValueError, match=r"client 4 counts images of 11 classes, but model\.spec"):
        method_of(config)(config, {4: told})


def test_another_description_is_refused(make):
    config = resolved(make().config)
    with pytest.raises(TypeError, match="describes itself by UAGANDescription"):
        method_of(config)(config, {0: Description(samples=3, device=DEVICE)})
