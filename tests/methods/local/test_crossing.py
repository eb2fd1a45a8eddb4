"""What clients that train alone and the server exchange, written out by hand."""

import pytest

from huscf_flwr.methods.contract import Facts
from huscf_flwr.methods.local import Local, LocalClassifier
from tests.methods.classifiers import GivenImages
from tests.run.builders import SMALL_FAMILY, images_of_client, private_tensors, small_run


def fields(facts: type[Facts]) -> set[str]:
    return set(facts.model_fields)


@pytest.mark.parametrize(
    ("method", "scores"),
    [
        (
            Local,
            (
                *("label_fidelity", "generation_score", "fid", "judge_accuracy", "inception_fid"),
                *("tstr_accuracy", "tstr_f1"),
            ),
        ),
        (LocalClassifier, ("accuracy", "f1", "loss")),
    ],
)
def test_this_crosses_and_nothing_else(method, scores):
    listed = method.crossing
    assert fields(listed.description) == {"samples", "device"}
    assert fields(listed.order) == set()
    assert listed.order_kinds == ()
    assert fields(listed.upload) == set()
    assert listed.upload_kinds == ()
    assert listed.exchanges == ()
    assert listed.product_kind == ""
    assert listed.scores == scores


@pytest.mark.parametrize("task", ["generator", "classifier"])
def test_no_tensor_goes_up_or_down(tmp_path, task):
    settings = {"model.width": 0.03, "classifier.family": SMALL_FAMILY, "local.task": task}
    config = small_run(tmp_path, tmp_path, method="local", clients=3, **settings)
    training = GivenImages(config, {client: images_of_client(client, 5 + client) for client in range(3)})
    for _ in range(2):
        closed = training.train()
        assert closed.opened.orders.groups == {}
        for client in training.clients:
            order, upload = closed.opened.orders.of(client), closed.collected.uploads[client]
            assert order.tensors == upload.tensors == {}
        ledger = closed.opened.ledger
        assert ledger.by_kind("up") == ledger.by_kind("down") == {}
    assert private_tensors(training.config.folder)
