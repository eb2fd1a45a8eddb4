"""FedTGP's server beside a loop in plain PyTorch, and its client beside FedProto's."""

import pytest
import torch

from huscf_flwr.methods.contract import Order, State
from huscf_flwr.methods.fedtgp import FedTGP
from huscf_flwr.seeding import torch_stream
from tests.methods.classifiers import small_classifiers, with_labels
from tests.run.builders import assert_same_to_the_bit, descriptions

EPOCHS, RATE, BATCH = 3, 0.2, 8


@pytest.fixture
def make(tmp_path):
    def training(images, method="fedtgp", **settings):
        given = {"fedtgp.server_epochs": EPOCHS, "fedtgp.server_learning_rate": RATE}
        return small_classifiers(tmp_path, images, method=method, **{**given, **settings})

    return training


IMAGES = {0: with_labels(1, 1, 2), 1: with_labels(2, 9, 9, 4), 2: with_labels(9)}


def uploaded(closed):
    """The class means of a round, in client order, and their labels."""
    uploads = sorted(closed.collected.uploads.items())
    means = [upload.tensors["class_means"]["means"] for _, upload in uploads]
    return torch.cat(means), [
        label for client, _ in uploads for label in sorted(set(IMAGES[client].labels.tolist()))
    ]


def plainly(weights, means, labels, seed, number, largest=100.0):
    """The prototypes of all ten classes after a round, from the network's weights before it."""
    names = ("embedding.weight", "hidden.weight", "hidden.bias", "out.weight", "out.bias")
    trained = [weights[f"network.{name}"].clone().requires_grad_() for name in names]
    embedding, w1, b1, w2, b2 = trained
    classes = sorted(set(labels))
    averages = torch.stack([means[torch.tensor(labels) == each].mean(0) for each in classes])
    gaps = (averages[:, None] - averages[None]).norm(dim=2) + 1e9 * torch.eye(len(classes)).double()
    margin = min(float(gaps.min(1).values.max()), largest)
    stream = torch_stream(seed, "prototype order", number)

    def prototypes():
        return torch.relu(embedding @ w1.T + b1) @ w2.T + b2

    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(means), generator=stream).split(BATCH):
            loss = 0
            for row in chosen.tolist():
                own = classes.index(labels[row])
                distances = (means[row] - prototypes()[classes]).norm(dim=1)
                logits = -(distances + margin * torch.eye(len(classes)).double()[own])
                loss = loss - torch.log_softmax(logits, 0)[own] / len(chosen)
            gradients = torch.autograd.grad(loss, trained)
            with torch.no_grad():
                for weight, gradient in zip(trained, gradients, strict=True):
                    weight.sub_(RATE * gradient)
    return prototypes().detach(), margin


def test_the_first_round_trains_prototypes_as_a_plain_loop_does(make):
    training = make(IMAGES)
    before = training.method.state().copied().tensors
    closed = training.train()
    means, labels = uploaded(closed)
    expected, margin = plainly(before, means, labels, training.config.seed, 1)
    told = training.method.orders(2, [0]).of(0).tensors["global_prototypes"]
    assert told["classes"].tolist() == [1, 2, 4, 9]
    torch.testing.assert_close(told["prototypes"], expected[[1, 2, 4, 9]], rtol=1e-9, atol=1e-12)
    assert closed.outcome.facts["margin"] == pytest.approx(margin)


def test_a_class_whose_holders_are_away_keeps_its_prototype_in_the_loss(make):
    training = make(IMAGES)
    training.train()
    training.train(clients=[0])
    assert training.method.known.nonzero().squeeze(1).tolist() == [1, 2, 4, 9]
    told = training.method.orders(3, [1]).of(1).tensors["global_prototypes"]
    assert told["classes"].tolist() == [1, 2, 4, 9]
    assert told["prototypes"].isfinite().all()


def test_one_class_alone_is_not_trained_and_nothing_is_sent(make):
    training = make({0: with_labels(3, 3), 1: with_labels(3)})
    before = training.method.state().copied().tensors
    for _ in range(2):
        training.train()
    after = training.method.state().tensors
    assert training.method.orders(3, [0]).groups == {}
    weights = before.keys() - {"known"}
    assert_same_to_the_bit({k: after[k] for k in weights}, {k: before[k] for k in weights})


def test_its_clients_are_fedprotos_with_another_weight(make):
    """With the same rows received, ten times FedProto's weight is FedTGP's default."""
    rows = torch.full((2, 6), 0.5, dtype=torch.float64)
    found = {}
    for method, kind, name in (
        ("fedproto", "global_means", "means"),
        ("fedtgp", "global_prototypes", "prototypes"),
    ):
        weight = {"fedproto.weight": 10.0} if method == "fedproto" else {}
        client = make(IMAGES, method, **weight).make_client(1)
        received = {"classes": torch.tensor([2, 9]), name: rows}
        client.begin(1, Order(tensors={kind: received}))
        losses = list(client.train())
        found[method] = losses, client.upload().tensors["class_means"], client.training.states()
        assert set(client.private()) >= {f"{kind}.classes", f"{kind}.{name}"}
    assert found["fedtgp"][0] == found["fedproto"][0]
    for part in (1, 2):
        assert_same_to_the_bit(found["fedtgp"][part], found["fedproto"][part])


def test_a_state_of_other_features_is_refused(make):
    method = make(IMAGES).method
    tensors = method.state().copied().tensors
    tensors["network.embedding.weight"] = torch.zeros(10, 7)
    with pytest.raises(ValueError, match=r"has prototypes: .* as .*7.*, not .*6"):
        method.load(State({}, tensors))


def test_clients_must_have_told_their_classes(make):
    with pytest.raises(TypeError, match="a client of fedtgp describes itself by HeldClasses"):
        FedTGP(make(IMAGES).method.config, descriptions())
    with pytest.raises(
        ValueError, match=r"client 0 holds the classes \(10,\), but model.spec 'authors-28' has 10"
    ):
        make({0: with_labels(10)})


@pytest.mark.parametrize(
    ("key", "value"),
    [("weight", -1), ("server_epochs", 0), ("server_learning_rate", 0), ("largest_margin", ".inf")],
)
def test_settings_that_cannot_be(make, key, value):
    with pytest.raises(ValueError, match=rf"'fedtgp\.{key}' is"):
        make(IMAGES, **{f"fedtgp.{key}": value})
