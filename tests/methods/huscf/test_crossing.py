"""What HuSCF-GAN's clients and server exchange, written out by hand; a step's tensors are in tests/split."""

import pytest
from pydantic import ValidationError

from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.methods.huscf.crossing import HuSCFOrder
from huscf_flwr.models import client_block_keys, initial_states
from huscf_flwr.process import dtype_of
from tests.methods.huscf.builders import huscf_training

EXCHANGES = {
    "GENERATE": (["generator head output"], ["generator tail input"]),
    "DISCRIMINATE": (["fake head output", "real head output"], ["fake tail input", "real tail input"]),
    "DISCRIMINATOR_BACKWARD": (
        ["gradient of fake tail input", "gradient of real tail input"],
        ["gradient of fake head output", "gradient of real head output"],
    ),
    "CRITICISE": (["fake head output"], ["fake tail input"]),
    "CRITICISM_BACKWARD": (["gradient of fake tail input"], ["gradient of fake head output"]),
    "GENERATOR_BACKWARD": (["gradient of generator tail input"], ["gradient of generator head output"]),
}


def test_this_crosses_and_nothing_else():
    listed = HuSCF.crossing
    assert set(listed.description.model_fields) == {"samples", "device"}
    assert set(listed.order.model_fields) == {"cut"}
    assert listed.order_kinds == ("segments", "blocks that change sides", "moments that change sides")
    assert set(listed.upload.model_fields) == set()
    assert listed.upload_kinds == ("segments",)
    assert listed.product_kind == "generator"
    assert listed.scores == ("tstr_accuracy", "tstr_f1")
    found = {
        exchange.name: ([kind.name for kind in exchange.up], [kind.name for kind in exchange.down])
        for exchange in listed.exchanges
    }
    assert found == EXCHANGES
    assert all(kind.dtype is None for each in listed.exchanges for kind in (*each.up, *each.down))


def test_segments_are_the_blocks_of_the_clients_cut_and_nothing_else(tmp_path):
    """By name and shape, down and up; moments are not among them."""
    training = huscf_training(tmp_path)
    method = training.method
    states = initial_states(method.spec, seed=0, dtype=dtype_of(method.config))
    opened, hosted = training.begin()
    for client, upload in hosted.uploads.items():
        expected = {
            f"{network}.{index}.{entry}": tensor.shape
            for network, index in client_block_keys(method.spec, method.cuts.now[client])
            for entry, tensor in states[network, index].items()
        }
        for tensors in (opened.orders.of(client).tensors, upload.tensors):
            assert set(tensors) == {"segments"}
            assert {name: tensor.shape for name, tensor in tensors["segments"].items()} == expected


@pytest.mark.parametrize("cut", [(1, 1, 1), (1, 1, 1, "many"), None])
def test_a_cut_is_four_numbers(cut):
    with pytest.raises(ValidationError):
        HuSCFOrder.model_validate({"cut": cut})
