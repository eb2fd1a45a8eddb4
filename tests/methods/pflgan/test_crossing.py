"""What PFL-GAN's clients and server exchange, written out by hand."""

import pytest

from huscf_flwr.methods.pflgan import PFLGAN
from huscf_flwr.models import flatten_blocks
from tests.run.builders import small_run, training_of


def test_this_crosses_and_nothing_else():
    listed = PFLGAN.crossing
    assert set(listed.description.model_fields) == {"samples", "device"}
    assert set(listed.order.model_fields) == {"local"}
    assert listed.order_kinds == ("networks",)
    assert set(listed.upload.model_fields) == set()
    assert listed.upload_kinds == ("networks",)
    assert listed.exchanges == ()
    assert listed.product_kind == "generator"
    assert listed.scores == ("tstr_accuracy", "tstr_f1")


@pytest.mark.slow
def test_networks_go_up_in_local_rounds_only_and_down_in_all(tmp_path):
    """No drawn image is among it."""
    config = small_run(tmp_path, tmp_path, method="pflgan", clients=3, **{"model.width": 0.03})
    training = training_of(config)
    names = set(flatten_blocks(training.method.initial))
    for number, local in ((1, True), (2, False)):
        opened, hosted = training.begin()
        for client, upload in hosted.uploads.items():
            order = opened.orders.of(client)
            assert order.facts.model_dump() == {"local": local}
            assert {kind: set(tensors) for kind, tensors in order.tensors.items()} == {"networks": names}
            assert set(upload.tensors) == ({"networks"} if local else set())
            assert training.method.form(client).keys() == upload.tensors.keys()
            training.rounds.read_upload(client, upload)
        assert opened.number == number
        training.rounds.close(hosted.uploads)
