"""Rounds of some clients in a few lines of plain PyTorch, which give the same to the bit."""

import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods.contract import Order
from huscf_flwr.models.classifiers import classifier_of
from huscf_flwr.seeding import torch_stream
from tests.methods.classifiers import GivenImages, with_labels
from tests.run.builders import (
    SMALL_FAMILY,
    assert_same_to_the_bit,
    images_of_client,
    private_tensors,
    small_run,
)

SAMPLES = {0: 16, 1: 9, 2: 5}
CLASSES = 10


@pytest.fixture
def make(tmp_path):
    def training(images=None, name="small", **settings):
        given = {
            "compute.precision": "float64",
            "classifier.family": SMALL_FAMILY,
            "classifier.learning_rate": 0.1,
        }
        config = small_run(
            tmp_path, tmp_path, name=name, method="fedproto", clients=3, local_epochs=2, **given, **settings
        )
        return GivenImages(config, images or {k: images_of_client(k, n) for k, n in SAMPLES.items()})

    return training


class PlainRounds:
    """Every client's network and optimiser, the global means by class, and a loop."""

    def __init__(self, config, images, weighting, weight):
        self.config, self.images, self.weighting, self.weight = config, images, weighting, weight
        self.networks = {k: classifier_of(config, k, dtype=torch.float64) for k in images}
        self.sgd = {
            k: torch.optim.SGD(n.parameters(), lr=0.1, momentum=0.5) for k, n in self.networks.items()
        }
        self.means = {}

    def train_round(self, number):
        """Train and average; return each client's mean losses and class means."""
        losses = {client: self.train(client, number) for client in self.images}
        means = {client: self.class_means(client) for client in self.images}
        for each in range(CLASSES):
            holders = [client for client in self.images if each in means[client]]
            if holders:
                weights = [
                    self.images[client].labels.tolist().count(each) if self.weighting == "counts" else 1
                    for client in holders
                ]
                total = sum(w * means[client][each] for w, client in zip(weights, holders, strict=True))
                self.means[each] = total / sum(weights)
        return losses, means

    def train(self, client, number):
        network, images = self.networks[client], self.images[client]
        stream = torch_stream(self.config.seed, "classifier order", client, number)
        found = []
        for _ in range(self.config.local_epochs):
            for chosen in torch.randperm(len(images), generator=stream).split(self.config.batch_size):
                features = network.features(self.pixels(client)[chosen])
                labels = images.labels[chosen]
                loss = functional.cross_entropy(network.head(features), labels)
                targets = [
                    self.means.get(label, row) for label, row in zip(labels.tolist(), features, strict=True)
                ]
                distance = functional.mse_loss(features, torch.stack(targets).detach())
                self.sgd[client].zero_grad()
                (loss + self.weight * distance).backward()
                self.sgd[client].step()
                found.append((loss.item(), distance.item()))
        return {
            name: sum(values) / len(found)
            for name, values in zip(("classifier", "prototype"), zip(*found, strict=True), strict=True)
        }

    @torch.no_grad()
    def class_means(self, client):
        features, labels = self.networks[client].features(self.pixels(client)), self.images[client].labels
        return {each: features[labels == each].mean(0) for each in sorted(set(labels.tolist()))}

    def pixels(self, client):
        return self.images[client].images.double() / 127.5 - 1

    def kept(self, number):
        """What clients should have kept for themselves after a round, but the means that they received."""
        tensors = {}
        for client, network in self.networks.items():
            prefix = f"client-{client}-round-{number:04}/"
            for name, parameter in network.named_parameters():
                tensors[f"{prefix}weights.{name}"] = parameter.detach()
                tensors[f"{prefix}momentum.{name}"] = self.sgd[client].state[parameter]["momentum_buffer"]
        return tensors


def last_kept(folder, number):
    return {name: t for name, t in private_tensors(folder).items() if f"round-{number:04}/" in name}


@pytest.mark.parametrize(("weighting", "weight"), [("counts", 1.0), ("clients", 10.0), ("counts", 0.0)])
def test_rounds_are_those_of_plain_pytorch_to_the_bit(make, weighting, weight):
    settings = {"fedproto.means": weighting, "fedproto.weight": weight}
    images = {0: with_labels(*range(8), 0, 0, 3), 1: with_labels(3, 3, 5, 0, 0), 2: with_labels(9, 1, 9)}
    training = make(images, **settings)
    plain = PlainRounds(training.config, images, weighting, weight)
    for number in (1, 2, 3):
        received = dict(plain.means)
        losses, means = plain.train_round(number)
        closed = training.train()
        for client, upload in closed.collected.uploads.items():
            assert upload.losses == losses[client]
            found = upload.tensors["class_means"]["means"]
            assert torch.equal(found, torch.stack(list(means[client].values())))
        assert training.method.known.nonzero().squeeze(1).tolist() == sorted(plain.means)
        for each, mean in plain.means.items():
            assert torch.equal(training.method.means[each], mean)
        kept = last_kept(training.config.folder, number)
        of_models = {name: tensor for name, tensor in kept.items() if "global_means" not in name}
        assert_same_to_the_bit(of_models, plain.kept(number))
        assert {name.partition("/")[2] for name in kept.keys() - of_models.keys()} == (
            {"global_means.classes", "global_means.means"} if received else set()
        )


def test_clients_that_stay_in_their_process_are_the_same_to_the_bit(make):
    """Clients that live on, against those that begin each round with what they kept."""
    training = make(name="dying")
    lasting = make(name="lasting")
    clients = {client: lasting.make_client(client) for client in SAMPLES}
    for number in (1, 2, 3):
        orders = training.method.orders(number, list(SAMPLES))
        closed = training.train()
        for client, member in clients.items():
            member.begin(number, orders.of(client))
            list(member.train())
            found = closed.collected.uploads[client].tensors["class_means"]
            assert_same_to_the_bit(found, member.upload().tensors["class_means"])
            kept = {f"client-{client}-round-{number:04}/{n}": t for n, t in member.private().items()}
            found = last_kept(training.config.folder, number)
            assert_same_to_the_bit({name: found[name] for name in kept}, kept)


def test_what_is_kept_comes_back_to_the_bit(make):
    training = make()
    for _ in range(2):
        training.train()
    kept = last_kept(training.config.folder, 2)
    for client in SAMPLES:
        prefix = f"client-{client}-round-0002/"
        own = {n.removeprefix(prefix): t for n, t in kept.items() if n.startswith(prefix)}
        member = training.make_client(client)
        member.load_private(own)
        assert_same_to_the_bit(member.private(), own)


def test_without_anything_kept_it_starts_anew(make):
    training = make()
    fresh, loaded = training.make_client(0), training.make_client(0)
    loaded.load_private({})
    assert_same_to_the_bit(loaded.private(), fresh.private())


def gradients_of(training, order):
    client = training.make_client(0)
    client.begin(1, order)
    (losses, *_) = client.train()
    return losses, {name: t for name, t in client.training.states().items() if name.startswith("weights")}


def test_classes_without_a_mean_add_nothing(make):
    """Not even if there are means of other classes."""
    training = make({0: with_labels(2, 3)}, **{"fedproto.weight": 10.0})
    other = {"classes": torch.tensor([4]), "means": torch.full((1, 6), 9.0, dtype=torch.float64)}
    losses, weights = gradients_of(training, Order())
    losses_with, weights_with = gradients_of(training, Order(tensors={"global_means": other}))
    assert losses == losses_with
    assert losses["prototype"] == 0
    assert_same_to_the_bit(weights_with, weights)


def test_an_unknown_class_counts_in_the_mean_over_the_batch(make):
    """As in the official code: of two images, one at distance d from its mean, the loss is d / 2."""
    training = make({0: with_labels(2, 3)})
    client = training.make_client(0)
    means = torch.full((1, 6), 0.5, dtype=torch.float64)
    order = Order(tensors={"global_means": {"classes": torch.tensor([3]), "means": means}})
    features = client.training.features_of(client.images.images)
    client.begin(1, order)
    expected = (features[1] - 0.5).square().mean().item() / 2
    assert next(client.train())["prototype"] == pytest.approx(expected)


def test_features_are_drawn_to_the_global_means(make):
    """With a large weight, two clients of different architectures come closer; with none they need not."""

    def spread(weight):
        training = make(name=f"weight-{weight}", **{"fedproto.weight": weight})
        for _ in range(6):
            closed = training.train()
        means = {k: u.tensors["class_means"]["means"] for k, u in closed.collected.uploads.items()}
        squares = [
            (means[client][row] - training.method.means[each]).square().mean().item()
            for client, described in training.method.clients.items()
            for row, each in enumerate(described.classes)
        ]
        return sum(squares) / len(squares)

    assert spread(10) < spread(0) / 4


def test_a_client_with_one_class_and_one_image(make):
    training = make({0: with_labels(7), 1: with_labels(7, 7, 7)})
    for _ in range(2):
        closed = training.train()
    for client in (0, 1):
        assert closed.collected.uploads[client].tensors["class_means"]["means"].shape == (1, 6)
    (member,) = (training.make_client(0),)
    member.begin(3, training.method.orders(3, [0]).of(0))
    found = {name: classify(member.images.images) for name, classify in member.classifiers().items()}
    assert found["prototype"].argmax(1).tolist() == [7]
    assert found["prototype"][0, 7].isfinite()
    assert found["prototype"].isinf().sum() == CLASSES - 1


def test_before_it_has_received_means_it_has_no_classifier_by_them(make):
    training = make()
    client = training.make_client(1)
    assert client.classifiers().keys() == {""}
    client.begin(1, training.method.orders(1, [1]).of(1))
    assert client.classifiers().keys() == {""}


def test_its_classifiers_are_the_head_and_the_nearest_global_mean(make):
    training = make()
    training.train()
    order = training.method.orders(2, [1]).of(1)
    client = training.make_client(1)
    client.begin(2, order)
    images = client.images.images.double() / 127.5 - 1
    found = {name: classify(images) for name, classify in client.classifiers().items()}
    assert found.keys() == {"", "prototype"}
    network = client.training.network
    torch.testing.assert_close(found[""], network(images).detach())
    features = network.features(images).detach()
    for each in range(CLASSES):
        if training.method.known[each]:
            distance = (features - training.method.means[each]).square().sum(1)
            torch.testing.assert_close(found["prototype"][:, each], -distance)
        else:
            assert found["prototype"][:, each].eq(-torch.inf).all()


def test_a_client_that_hears_nothing_keeps_the_means_that_it_has(make):
    training = make()
    training.train()
    client = training.make_client(1)
    client.begin(2, training.method.orders(2, [1]).of(1))
    client.begin(3, Order())
    assert client.classifiers().keys() == {"", "prototype"}


def test_it_is_evaluated_by_the_means_that_it_is_told_then(make):
    """Not by those that it began its last round with; one that never trained has some too."""
    training = make()
    for _ in range(2):
        training.train()
    order = training.method.evaluation_orders(2, [0]).of(0)
    for begun in (False, True):
        client = training.make_client(0)
        if begun:
            client.begin(2, Order(tensors={"global_means": old_means(training)}))
        client.begin_evaluation(order)
        images = client.images.images
        features = client.training.features_of(images)
        scores = client.classifiers()["prototype"](images)
        for each in training.method.known.nonzero().squeeze(1).tolist():
            distance = (features - training.method.means[each]).square().sum(1)
            torch.testing.assert_close(scores[:, each], -distance)


def old_means(training):
    known = training.method.known.nonzero().squeeze(1)
    return {"classes": known, "means": torch.zeros(len(known), 6, dtype=torch.float64)}


def test_before_any_means_are_known_an_evaluation_is_told_none(make):
    training = make()
    client = training.make_client(0)
    client.begin_evaluation(training.method.evaluation_orders(1, [0]).of(0))
    assert client.classifiers().keys() == {""}


def test_there_is_no_upload_before_the_training_is_over(make):
    client = make().make_client(0)
    client.begin(1, Order())
    next(client.train())
    with pytest.raises(RuntimeError, match="client 0 has not trained in round 1"):
        client.upload()
