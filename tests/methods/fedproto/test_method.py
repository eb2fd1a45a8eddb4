import math

import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.methods import method_named
from huscf_flwr.methods.contract import State, keeps_models
from huscf_flwr.methods.fedproto import FedProto, FedProtoClient
from huscf_flwr.models.classifiers import classifier_of
from tests.methods.classifiers import GivenImages
from tests.run.builders import SMALL_FAMILY, assert_same_to_the_bit, descriptions, images_of_client, small_run

SAMPLES = {0: 16, 1: 9, 2: 5}
FEATURES = 6


def images_with(labels, seed):
    stream = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (len(labels), 1, 28, 28), generator=stream, dtype=torch.uint8)
    return LabelledImages(images, torch.tensor(labels))


@pytest.fixture
def config(tmp_path):
    given = {
        "compute.precision": "float64",
        "classifier.family": SMALL_FAMILY,
        "method": "fedproto",
        "clients": 3,
    }
    return lambda **settings: small_run(tmp_path, tmp_path, **{**given, **settings})


@pytest.fixture
def make(config):
    def training(images=None, **settings):
        return GivenImages(
            config(**settings), images or {k: images_of_client(k, n) for k, n in SAMPLES.items()}
        )

    return training


def test_its_name_finds_it():
    assert method_named("fedproto") is FedProto
    assert keeps_models(FedProtoClient)


def test_with_a_common_extractor_the_means_are_those_of_all_images_together(make, monkeypatch):
    """Nobody's weights move, and all have those of client 0."""
    common = classifier_of(make().config, 0, dtype=torch.float64)
    monkeypatch.setattr(
        "huscf_flwr.methods.classifier_training.classifier_of", lambda *_, **__: common.requires_grad_(True)
    )
    images = {0: images_with([0, 0, 1, 2], 0), 1: images_with([2, 2, 2], 1), 2: images_with([1, 5], 2)}
    training = make(images, **{"classifier.learning_rate": 1e-300})
    training.train()
    pixels = torch.cat([own.images for own in images.values()]).double() / 127.5 - 1
    labels = torch.cat([own.labels for own in images.values()])
    features = common.features(pixels).detach()
    assert training.method.known.nonzero().squeeze(1).tolist() == [0, 1, 2, 5]
    for each in (0, 1, 2, 5):
        torch.testing.assert_close(training.method.means[each], features[labels == each].mean(0))


@pytest.mark.parametrize("weighting", ["counts", "clients"])
def test_means_are_averaged_as_the_setting_says(make, weighting):
    images = {0: images_with([4, 4, 4], 0), 1: images_with([4], 1)}
    training = make(images, **{"fedproto.means": weighting})
    closed = training.train()
    first, second = (closed.collected.uploads[k].tensors["class_means"]["means"][0] for k in (0, 1))
    expected = (3 * first + second) / 4 if weighting == "counts" else (first + second) / 2
    torch.testing.assert_close(training.method.means[4], expected)


def test_a_class_that_nobody_holds_is_neither_known_nor_sent(make):
    training = make({0: images_with([1, 2], 0), 1: images_with([2, 9], 1)})
    for number in (1, 2):
        training.train()
        sent = training.method.orders(number + 1, [0]).of(0).tensors["global_means"]
        assert sent["classes"].tolist() == [1, 2, 9]
        assert sent["means"].isfinite().all()
    assert training.method.means.isfinite().all()


def test_the_last_known_mean_stays_where_those_that_hold_the_class_are_away(make):
    training = make({0: images_with([1, 2], 0), 1: images_with([2, 9], 1)})
    training.train()
    before = training.method.means.clone()
    closed = training.train(absent=(1,))
    after = training.method.means
    assert torch.equal(after[9], before[9])
    assert training.method.known.nonzero().squeeze(1).tolist() == [1, 2, 9]
    own = closed.collected.uploads[0].tensors["class_means"]["means"]
    torch.testing.assert_close(after[[1, 2]], own)
    assert not torch.equal(after[2], before[2])


def test_before_the_first_round_it_knows_nothing_and_says_nothing(make):
    method = make().method
    orders = method.orders(1, [0, 2])
    assert orders.groups == {}
    assert {client: order.tensors for client, order in orders.clients.items()} == {0: {}, 2: {}}


def test_a_round_has_as_many_steps_as_the_largest_of_its_clients_has_batches(make):
    method = make(local_epochs=3).method
    assert method.steps(1, [0, 1, 2]) == 3 * math.ceil(16 / 8)
    assert method.steps(1, [2]) == 3


def test_all_that_it_must_remember_are_the_means(make):
    first, second = make(), make(seed=1)
    first.train()
    second.method.load(State({}, first.method.state().copied().tensors))
    assert_same_to_the_bit(second.method.state().tensors, first.method.state().tensors)
    found, expected = (each.method.orders(2, [0]).of(0).tensors["global_means"] for each in (second, first))
    assert_same_to_the_bit(found, expected)


def test_a_state_of_other_features_is_refused(make):
    method = make().method
    other = {"means": torch.zeros(10, FEATURES + 1), "known": torch.zeros(10, dtype=torch.bool)}
    with pytest.raises(ValueError, match=r"has class means: means as .* \(10, 7\), not .* \(10, 6\)"):
        method.load(State({}, other))


def test_a_round_that_is_taken_back_leaves_no_trace(make):
    training = make()
    training.train()
    before = training.method.state().copied()
    training.begin()
    training.rounds.opened.session.abort(RuntimeError("a failure"))
    training.rounds.take_back()
    assert_same_to_the_bit(training.method.state().tensors, before.tensors)


def test_it_has_no_product_and_nothing_to_draw_from(make):
    training = make()
    training.train()
    assert training.method.products() == []
    assert training.method.judged_for([0]) is None
    assert training.method.clusters() == {}
    with pytest.raises(ValueError, match="fedproto trains classifiers and has no generator"):
        FedProto.sampler(training.config, {})


def test_a_class_that_the_model_lacks_is_refused(make):
    with pytest.raises(
        ValueError, match=r"client 1 holds the classes \(3, 10\), but model.spec 'authors-28' has 10"
    ):
        make({0: images_with([1], 0), 1: images_with([3, 10], 1)})


def test_clients_must_have_told_their_classes(make):
    method = make().method
    with pytest.raises(TypeError, match="FedProtoDescription"):
        FedProto(method.config, descriptions())


@pytest.mark.parametrize(("weighting", "does"), [("counts", "does not tell"), ("clients", "tells")])
def test_clients_must_have_told_just_what_the_average_needs(make, weighting, does):
    method = make(**{"fedproto.means": weighting}).method
    others = make(**{"fedproto.means": "clients" if weighting == "counts" else "counts"}).method
    with pytest.raises(ValueError, match=f"fedproto.means: {weighting}, but client 0 {does} how many images"):
        FedProto(method.config, others.clients)


def test_before_an_evaluation_clients_are_told_the_means_as_they_are_now(make):
    training = make({0: images_with([1, 2], 0), 1: images_with([2, 9], 1)})
    assert training.method.evaluation_orders(0, [0, 1]).of(1).tensors == {}
    for number in (1, 2):
        training.train(clients=[0])
        told = training.method.evaluation_orders(number, [0, 1])
        for client in (0, 1):
            means = told.of(client).tensors["global_means"]["means"]
            assert torch.equal(means, training.method.means[training.method.known])


def test_a_family_that_is_not_there_is_found_before_anybody_has_joined(config):
    with pytest.raises(ValueError, match="conf/classifiers: 'no-such-family'"):
        FedProto.check(config(**{"classifier.family": "no-such-family"}))


def test_images_too_small_for_the_family_are_found_before_anybody_has_joined(config, tmp_path):
    family = tmp_path / "wide.yaml"
    halved = "{channels: 1, halve: true}"
    family.write_text(f"{{features: 2, groups: 1, map_size: 8, members: [[{halved}, {halved}]]}}")
    with pytest.raises(ValueError, match="leaves 7x7"):
        FedProto.check(config(**{"classifier.family": family}))


@pytest.mark.parametrize(("key", "value"), [("weight", -1), ("weight", ".inf"), ("means", "median")])
def test_settings_that_cannot_be(config, key, value):
    with pytest.raises(ValueError, match=rf"'fedproto\.{key}' is"):
        GivenImages(config(**{f"fedproto.{key}": value}), {0: images_with([1], 0)})
