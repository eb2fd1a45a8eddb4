"""What FedProto's clients and server exchange, written out by hand."""

import pytest
import torch
from pydantic import ValidationError

from huscf_flwr.flower.messages import DescribeReply
from huscf_flwr.methods.contract import Facts
from huscf_flwr.methods.fedproto import FedProto, FedProtoDescription
from huscf_flwr.models.classifiers import classifier_of
from tests.methods.classifiers import GivenImages
from tests.run.builders import DEVICE, SMALL_FAMILY, images_of_client, private_tensors, small_run

FEATURES = 6


@pytest.fixture
def make(tmp_path):
    def training(**settings):
        given = {"method": "fedproto", "clients": 3, "classifier.family": SMALL_FAMILY, **settings}
        config = small_run(tmp_path, tmp_path, **given)
        return GivenImages(config, {client: images_of_client(client, 5 + client) for client in range(3)})

    return training


@pytest.fixture
def training(make):
    return make()


def fields(facts: type[Facts]) -> set[str]:
    return set(facts.model_fields)


def classes_of(training, client):
    return sorted(set(training.images[client].labels.tolist()))


def test_this_crosses_and_nothing_else():
    listed = FedProto.crossing
    assert fields(listed.description) == {"samples", "device", "classes", "counts"}
    assert fields(listed.order) == set()
    assert listed.order_kinds == ("global_means",)
    assert listed.evaluation_kinds == ("global_means",)
    assert fields(listed.upload) == set()
    assert listed.upload_kinds == ("class_means",)
    assert listed.exchanges == ()
    assert listed.product_kind == ""
    assert listed.scores == ("accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1")


def test_up_go_means_of_the_classes_that_a_client_holds_and_no_part_of_its_model(training):
    for _ in range(2):
        closed = training.train()
        for client, upload in closed.collected.uploads.items():
            assert upload.tensors.keys() == {"class_means"}
            (found,) = upload.tensors["class_means"].values()
            assert found.shape == (len(classes_of(training, client)), FEATURES)
            weights = classifier_of(training.config, client).state_dict()
            kept = {name for name in private_tensors(training.config.folder) if f"client-{client}-" in name}
            assert all(any(name.endswith(f"weights.{each}") for name in kept) for each in weights)
        held = sum(len(classes_of(training, client)) for client in range(3))
        assert closed.opened.ledger.by_kind("up") == {"class_means": held * FEATURES * 4}


def test_down_goes_nothing_at_first_and_then_each_known_mean_once_to_each_host(training):
    assert training.train().opened.ledger.by_kind("down") == {}
    known = sorted(set().union(*(classes_of(training, client) for client in range(3))))
    opened = training.rounds.open([[0, 2], [1]])
    for client in range(3):
        sent = opened.orders.of(client).tensors
        assert sent.keys() == {"global_means"}
        assert sent["global_means"]["classes"].tolist() == known
        assert sent["global_means"]["means"].shape == (len(known), FEATURES)
    size = len(known) * (FEATURES * 4 + 8)
    assert opened.ledger.by_client("down") == {0: size, 1: size}


def test_before_an_evaluation_the_means_that_the_round_led_to_go_down_and_are_counted_in_no_round(training):
    closed = training.train()
    before = closed.opened.ledger.by_kind("down")
    order = training.rounds.evaluation_order([2, 0])
    assert (order.clients, order.round) == ((0, 2), 1)
    for client in (0, 2):
        told = order.orders.of(client).tensors
        assert told.keys() == {"global_means"}
        assert torch.equal(told["global_means"]["classes"], training.method.known.nonzero().squeeze(1))
        assert torch.equal(told["global_means"]["means"], training.method.means[training.method.known])
    assert closed.opened.ledger.by_kind("down") == before == {}


def test_how_many_images_of_each_class_there_are_is_only_told_where_means_are_weighted_by_it(make):
    for weighting, told in (("counts", True), ("clients", False)):
        training = make(**{"fedproto.means": weighting})
        for client, description in training.method.clients.items():
            assert list(description.classes) == classes_of(training, client)
            assert (description.counts is not None) is told
            reply = DescribeReply({client: description}).to_records(FedProto)
            assert ("counts" in reply[f"description/{client}"]) is told
            assert DescribeReply.from_records(reply, FedProto).clients == {client: description}


def test_a_client_tells_how_its_images_spread_over_the_classes(training):
    for client, description in training.method.clients.items():
        labels = training.images[client].labels.tolist()
        assert list(description.classes) == sorted(set(labels))
        assert list(description.counts) == [labels.count(each) for each in description.classes]
        assert description.samples == len(labels)


@pytest.mark.parametrize(
    ("samples", "classes", "counts", "message"),
    [
        (3, (1, 0), (1, 2), r"classes are \(1, 0\): give each once, ascending"),
        (3, (1, 1), (1, 2), "each once"),
        (3, (0, 1), (3,), "one count for each class"),
        (3, (0, 1), (1, 1), r"\(1, 1\) for the classes \(0, 1\) of 3 samples"),
        (3, (0, 1), (3, 0), "counts"),
        (3, (-1, 1), (1, 2), "classes"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(samples, classes, counts, message):
    with pytest.raises(ValidationError, match=message):
        FedProtoDescription(samples=samples, device=DEVICE, classes=classes, counts=counts)


def test_class_means_of_another_shape_are_refused(training):
    opened, hosted = training.begin()
    upload = hosted.uploads[0]
    upload.tensors["class_means"]["means"] = torch.zeros(len(classes_of(training, 0)) + 1, FEATURES)
    with pytest.raises(ValueError, match="client 0 sent class_means means"):
        training.rounds.read_upload(0, upload)
    assert opened.number == 1
