"""When CCVR's clients send what, and the calibration beside a loop in plain PyTorch, in float64."""

import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods.ccvr import CCVR
from huscf_flwr.methods.ccvr.client import packed, unpacked
from huscf_flwr.methods.ccvr.crossing import CCVROrder
from huscf_flwr.seeding import torch_stream
from tests.methods.classifiers import small_classifiers, with_labels
from tests.run.builders import assert_same_to_the_bit, descriptions, private_tensors

FEATURES, VIRTUAL, EPOCHS, BATCH, RATE = 6, 7, 3, 8, 0.1
IMAGES = {0: with_labels(1, 1, 2), 1: with_labels(2, 9, 9, 4), 2: with_labels(9)}


@pytest.fixture
def make(tmp_path):
    def training(images=None, **settings):
        given = {"classifier.learning_rate": RATE, "ccvr.virtual": VIRTUAL, "ccvr.epochs": EPOCHS}
        return small_classifiers(tmp_path, images or IMAGES, method="ccvr", **{**given, **settings})

    return training


def sent(closed, kind):
    uploads = sorted(closed.collected.uploads.items())
    return {k: upload.tensors[kind] for k, upload in uploads if kind in upload.tensors}


def trained(training, client, number):
    """The client with what it kept after a round."""
    prefix = f"client-{client}-round-{number:04}/"
    kept = private_tensors(training.config.folder)
    member = training.make_client(client)
    member.load_private({n.removeprefix(prefix): t for n, t in kept.items() if n.startswith(prefix)})
    return member


def test_statistics_go_up_in_the_last_round_only_and_are_as_large_as_said(make):
    training = make()
    first, last = training.train(), training.train()
    assert set(sent(first, "head")) == set(sent(last, "head")) == {0, 1, 2}
    assert sent(first, "class_statistics") == {}
    held = sum(len(set(images.labels.tolist())) for images in IMAGES.values())
    numbers = held * (FEATURES + FEATURES * (FEATURES + 1) // 2)
    assert last.opened.ledger.by_kind("up")["class_statistics"] == numbers * 8


def test_statistics_are_those_of_the_extractor_as_it_is_then(make):
    """Of no round before: smduan's code gathers features over all of them."""
    training = make()
    training.train()
    closed = training.train()
    for client, found in sent(closed, "class_statistics").items():
        member = trained(training, client, 2)
        features, labels = member.training.features_of(IMAGES[client].images), IMAGES[client].labels
        for place, each in enumerate(sorted(set(labels.tolist()))):
            rows = features[labels == each]
            torch.testing.assert_close(found["means"][place], rows.mean(0))
            covariance = unpacked(found["covariances"], FEATURES)[place]
            expected = torch.cov(rows.T) if len(rows) > 1 else torch.zeros(FEATURES, FEATURES).double()
            torch.testing.assert_close(covariance, expected)


def test_the_averaged_head_is_calibrated_as_in_a_plain_loop(make):
    training = make()
    training.train()
    closed = training.train()
    rows = {each: [] for each in (1, 2, 4, 9)}
    for client, images in IMAGES.items():
        features = trained(training, client, 2).training.features_of(images.images)
        for row, label in zip(features, images.labels.tolist(), strict=True):
            rows[label].append(row)
    stream = torch_stream(training.config.seed, "virtual features", 2)
    drawn = []
    for own in map(torch.stack, rows.values()):
        covariance = torch.cov(own.T) if len(own) > 1 else torch.zeros(FEATURES, FEATURES).double()
        noise = torch.randn(VIRTUAL, FEATURES, generator=stream, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)
        drawn.append(own.mean(0) + noise @ (vectors * values.clamp(min=0).sqrt()).T)
    features, labels = torch.cat(drawn), torch.tensor(list(rows)).repeat_interleave(VIRTUAL)

    heads, total = sent(closed, "head"), sum(map(len, IMAGES.values()))
    head = torch.nn.Linear(FEATURES, 10).double()
    head.load_state_dict(
        {name: sum(len(IMAGES[k]) * heads[k][name] for k in heads) / total for name in ("weight", "bias")}
    )
    sgd = torch.optim.SGD(head.parameters(), lr=RATE, momentum=0.5)
    for _ in range(EPOCHS):
        losses = []
        for chosen in torch.randperm(len(labels), generator=stream).split(BATCH):
            loss = functional.cross_entropy(head(features[chosen]), labels[chosen])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            losses.append(loss.item())
    told = training.method.evaluation_orders(2, [0]).of(0).tensors["calibrated_head"]
    # Eigenvectors of equal eigenvalues are any, but these are of matrices that differ by rounding only.
    assert closed.outcome.facts["calibration_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-3)
    for name, tensor in head.state_dict().items():
        torch.testing.assert_close(told[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_client_classifies_with_the_calibrated_head_and_with_its_own(make):
    training = make()
    training.train()
    assert training.method.evaluation_orders(1, [0]).of(0).tensors == {}
    training.train()
    member = trained(training, 1, 2)
    images = IMAGES[1].images
    own = member.training.logits_of(images)
    before = {name: classify(images) for name, classify in member.classifiers().items()}
    assert_same_to_the_bit(before, {"": own, "uncalibrated": own})
    head = training.method.evaluation_orders(2, [1]).of(1)
    member.begin_evaluation(head)
    after = {name: classify(images) for name, classify in member.classifiers().items()}
    assert torch.equal(after["uncalibrated"], own)
    head = head.tensors["calibrated_head"]
    expected = member.training.features_of(images) @ head["weight"].T + head["bias"]
    torch.testing.assert_close(after[""], expected)
    assert not torch.allclose(after[""], own)


def test_in_the_last_round_everybody_measures_and_those_that_were_drawn_train(make):
    training = make(fraction_train=0.34, rounds=3)
    method = training.method
    drawn = [method.select(number, [0, 1, 2]) for number in (1, 2, 3)]
    assert [len(each) for each in drawn] == [1, 1, 3]
    told = {k: order.facts for k, order in method.orders(3, [0, 1, 2]).clients.items()}
    assert all(each.measures for each in told.values())
    assert sum(each.trains for each in told.values()) == 1
    for number in (1, 2, 3):
        closed = training.train(clients=list(drawn[number - 1]))
    assert set(sent(closed, "class_statistics")) == {0, 1, 2}
    assert set(sent(closed, "head")) == {k for k, each in told.items() if each.trains}
    assert all(closed.collected.uploads[k].losses["classifier"] > 0 for k in IMAGES)
    assert method.calibrated


def test_who_only_measures_keeps_its_classifier_as_it_is(make):
    training = make()
    training.train()
    member = trained(training, 0, 1)
    before = {name: tensor.clone() for name, tensor in member.private().items()}
    order = training.method.orders(2, [0]).of(0)
    member.begin(2, type(order)(facts=CCVROrder(trains=False, measures=True), tensors=order.tensors))
    list(member.train())
    assert_same_to_the_bit(member.private(), before)


def test_a_head_that_was_calibrated_is_forgotten_when_training_goes_on(make):
    training = make(rounds=1)
    training.train()
    assert training.method.calibrated
    longer = make(rounds=3)
    longer.method.load(training.method.state())
    longer.train()
    assert longer.method.calibrated == {}


def test_symmetric_matrices_are_sent_by_halves():
    matrices = torch.arange(18.0).reshape(2, 3, 3)
    matrices = matrices + matrices.mT
    assert packed(matrices).shape == (2, 6)
    assert torch.equal(unpacked(packed(matrices), 3), matrices)


def test_clients_must_have_counted_the_models_classes(make):
    with pytest.raises(TypeError, match="a client of ccvr describes itself by LabelCounts"):
        CCVR(make().method.config, descriptions())


@pytest.mark.parametrize("key", ["virtual", "epochs"])
def test_settings_that_cannot_be(make, key):
    with pytest.raises(ValueError, match=rf"'ccvr\.{key}' is 0"):
        make(**{f"ccvr.{key}": 0})
