"""Rounds of FedType-style training beside loops in plain PyTorch, in float64."""

import math

import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods.fedtype import FedType
from huscf_flwr.methods.fedtype.client import initial_proxy
from huscf_flwr.methods.fedtype.losses import distillation_loss, ranking_loss
from huscf_flwr.models.classifiers import classifier_of
from huscf_flwr.seeding import torch_stream
from tests.methods.classifiers import small_classifiers, with_labels
from tests.run.builders import assert_same_to_the_bit

IMAGES = {0: with_labels(1, 1, 2), 1: with_labels(2, 9, 9, 4, 4, 2, 2, 9, 9, 9, 1), 2: with_labels(9)}


@pytest.fixture
def make(tmp_path):
    def training(images=None, **settings):
        settings = {"classifier.learning_rate": 0.1, **settings}
        return small_classifiers(tmp_path, images or IMAGES, method="fedtype", **settings)

    return training


def scores_of(logits, penalty, free=5):
    """Sum of the probabilities of all that are no less likely, and a penalty for each below the free."""
    rows = []
    for row in logits.softmax(1).tolist():
        above = [[p for p in row if p >= own] for own in row]
        rows.append([sum(each) + penalty * max(0, len(each) - free) for each in above])
    return torch.tensor(rows, dtype=torch.float64)


def sets_of(model, pixels, penalty, bound):
    scores = scores_of(model(pixels).detach(), penalty)
    return (scores <= bound) | torch.eye(10).bool()[scores.argmin(1)]


def bound_of(model, pixels, labels, penalty, miss=0.1):
    own = sorted(scores_of(model(pixels).detach(), penalty)[torch.arange(len(labels)), labels].tolist())
    place = math.ceil((len(own) + 1) * (1 - miss))
    return own[place - 1] if place <= len(own) else math.inf


@pytest.mark.parametrize("client", [0, 1])
def test_a_client_trains_both_models_as_a_plain_loop_does(make, client):
    """Client 0 has too few images for a bound, so that its sets say nothing."""
    training = make(local_epochs=2, **{"fedtype.distillation": 0.5, "fedtype.ranking": 2.0})
    order = training.method.orders(1, [client]).of(client)
    member = training.make_client(client)
    member.begin(1, order)
    found = list(member.train())

    config, images = training.config, IMAGES[client]
    private, proxy = classifier_of(config, client, dtype=torch.float64), initial_proxy(config)
    sgd = {each: torch.optim.SGD(each.parameters(), lr=0.1, momentum=0.5) for each in (private, proxy)}
    pixels, labels = images.images.double() / 127.5 - 1, images.labels
    bounds = bound_of(private, pixels, labels, 1.0), bound_of(proxy, pixels, labels, 0.5)
    passes, place = torch_stream(config.seed, "classifier order", client, 1), 0
    for _ in range(2):
        for chosen in torch.randperm(len(labels), generator=passes).split(config.batch_size):
            batch, own = pixels[chosen], private(pixels[chosen]).detach()
            sets = sets_of(private, batch, 1.0, bounds[0]), sets_of(proxy, batch, 0.5, bounds[1])
            shared = ((sets[0] & sets[1]).sum(1) / (sets[0] | sets[1]).sum(1)).mean()
            losses = [functional.cross_entropy(model(batch), labels[chosen]) for model in (private, proxy)]
            extra = ranking_loss(private(batch), sets[1]), distillation_loss(proxy(batch), own, temperature=1)
            expected = (losses[0], extra[0], losses[1], extra[1])
            assert list(found[place].values()) == pytest.approx([each.item() for each in expected])
            totals = losses[0] + 2 * shared * extra[0], losses[1] + 0.5 * extra[1]
            for model, loss in zip((private, proxy), totals, strict=True):
                sgd[model].zero_grad()
                loss.backward()
                sgd[model].step()
            place += 1
    assert place == len(found)
    for model, trained in ((private, member.training), (proxy, member.proxy)):
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(trained.network.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)


def test_proxies_begin_alike_and_are_averaged_by_sample_counts(make):
    training = make()
    orders = training.method.orders(1, [0, 1, 2])
    start = orders.of(0).tensors["proxy"]
    assert_same_to_the_bit(start, initial_proxy(training.config).state_dict())
    closed = training.train()
    sent = {k: upload.tensors["proxy"] for k, upload in closed.collected.uploads.items()}
    total = sum(map(len, IMAGES.values()))
    for name, tensor in training.method.proxy.items():
        torch.testing.assert_close(tensor, sum(len(IMAGES[k]) * sent[k][name] for k in IMAGES) / total)
    assert closed.outcome.clients[1]["weight"] == pytest.approx(len(IMAGES[1]) / total)


def test_nothing_of_the_private_model_crosses(make):
    training = make()
    closed = training.train()
    proxy = {name: tensor.shape for name, tensor in initial_proxy(training.config).state_dict().items()}
    for client, upload in closed.collected.uploads.items():
        assert {name: t.shape for name, t in upload.tensors["proxy"].items()} == proxy
        private = classifier_of(training.config, client).state_dict()
        assert all(tensor.isfinite().all() for tensor in upload.tensors["proxy"].values())
        assert {n: t.shape for n, t in private.items()} != proxy or client % 2 == 0


def test_it_is_scored_with_its_private_model_and_with_the_averaged_proxy(make):
    training = make()
    training.train()
    member = training.make_client(1)
    member.begin_evaluation(training.method.evaluation_orders(1, [1]).of(1))
    images = IMAGES[1].images
    found = {name: classify(images) for name, classify in member.classifiers().items()}
    proxy = initial_proxy(training.config)
    proxy.load_state_dict(training.method.proxy)
    torch.testing.assert_close(found["proxy"], proxy(images.double() / 127.5 - 1).detach())
    torch.testing.assert_close(found[""], member.training.logits_of(images))


def test_a_proxy_that_the_family_lacks_is_refused(make):
    config = make().config.model_copy(update={"fedtype": {"proxy": 2}})
    with pytest.raises(ValueError, match=r"fedtype.proxy: 2, but .* 'small-family' has 2 members"):
        FedType.check(config)


@pytest.mark.parametrize(("key", "value"), [("proxy", -1), ("temperature", 0), ("miss", 1), ("ranking", -1)])
def test_settings_that_cannot_be(make, key, value):
    with pytest.raises(ValueError, match=rf"'fedtype\.{key}' is"):
        make(**{f"fedtype.{key}": value})
