"""What HFL-GAN's clients and server exchange, written out by hand."""

import pytest

from huscf_flwr.methods.hflgan import HFLGAN
from huscf_flwr.models import flatten_blocks
from tests.run.builders import small_run, training_of


def test_this_crosses_and_nothing_else():
    listed = HFLGAN.crossing
    assert set(listed.description.model_fields) == {"samples", "device"}
    assert set(listed.order.model_fields) == set()
    assert listed.order_kinds == ("networks", "global_generator")
    assert set(listed.upload.model_fields) == set()
    assert listed.upload_kinds == ("networks", "global_generator")
    assert listed.exchanges == ()
    assert listed.product_kind == "generator"
    assert listed.scores == ("tstr_accuracy", "tstr_f1")


@pytest.mark.slow
def test_the_global_generator_goes_up_in_cloud_rounds_and_comes_down_after_them(tmp_path):
    """To those who have not got it yet; nobody is told of another cluster's networks."""
    config = small_run(tmp_path, tmp_path, method="hflgan", clients=3, **{"model.width": 0.03})
    training = training_of(config)
    networks = set(flatten_blocks(training.method.common))
    generator = {name for name in networks if name.startswith("generator")}
    up, down = [], []
    for clients in ([0, 1, 2], [0, 1, 2], [0, 1], [0, 1, 2]):
        opened, hosted = training.begin(clients)
        for client, upload in hosted.uploads.items():
            training.rounds.read_upload(client, upload)
            for tensors in (upload.tensors, opened.orders.of(client).tensors):
                assert set(tensors["networks"]) == networks
                assert set(tensors.get("global_generator", generator)) == generator
        up.append({k for k, upload in hosted.uploads.items() if "global_generator" in upload.tensors})
        down.append({k for k in clients if "global_generator" in opened.orders.of(k).tensors})
        training.rounds.close(hosted.uploads)
    assert up == [set(), {0, 1, 2}, set(), {0, 1, 2}]
    assert down == [set(), set(), {0, 1}, {2}]


def test_a_clusters_networks_travel_once_to_each_host(tmp_path):
    config = small_run(tmp_path, tmp_path, method="hflgan", clients=3, **{"model.width": 0.03})
    training = training_of(config)
    training.train()
    clusters = training.method.clusters()
    size = sum(t.numel() * t.element_size() for t in flatten_blocks(training.method.common).values())
    opened = training.rounds.open([[0, 1, 2]])
    assert opened.ledger.by_kind("down") == {"networks": len(set(clusters.values())) * size}
