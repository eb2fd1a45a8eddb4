"""A client that has refused a round knows that in the next one, whatever the server says."""

from dataclasses import replace

import pytest
import torch

from huscf_flwr.methods.huscf import HuSCFClient
from huscf_flwr.methods.huscf.crossing import SEGMENTS
from huscf_flwr.run.client_files import load_private
from huscf_flwr.run.refused_rounds import note_refusal, with_refused
from huscf_flwr.split.tampering import MOST_MOVED, REFUSED
from tests.run.builders import small_run, training_of

SETTINGS = {"model.width": 0.03, "clients": 2, "min_clients": 1, "local_epochs": 1, "rounds": 9}
WEIGHT = "discriminator.0.main.weight"


def test_rounds_are_remembered_for_each_client_apart(tmp_path):
    for client, number in ((0, 4), (0, 3), (0, 4), (1, 5)):
        note_refusal(tmp_path, client, number)
    assert with_refused({}, tmp_path, 0)[REFUSED].tolist() == [3, 4]
    assert with_refused({}, tmp_path, 1)[REFUSED].tolist() == [5]
    assert with_refused({}, tmp_path, 2) == {}


def trap_after(uploaded, moved):
    """Blocks that are half as far again as is allowed in one round, and nearer than is in two."""
    weight = uploaded[WEIGHT]
    delta = 1.5 * MOST_MOVED * moved / weight.numel() ** 0.5
    return {**uploaded, WEIGHT: weight + delta}


@pytest.mark.slow
def test_blocks_that_were_refused_are_refused_again_and_again(tmp_path, monkeypatch):
    config = small_run(tmp_path, tmp_path, **SETTINGS, **{"privacy.detect_tampering": True})
    training = training_of(config)
    _, hosted = training.begin()
    for client, upload in hosted.uploads.items():
        training.rounds.read_upload(client, upload)
    training.rounds.close(training.rounds.usable(hosted.uploads))
    upload, began = hosted.uploads[0], HuSCFClient.begin
    moved = load_private(training.folder, 0, upload.kept)["tampering.moved.discriminator.0"]
    trap = trap_after(dict(upload.tensors[SEGMENTS]), float(moved))

    def begin(member, number, order):
        began(member, number, order if member.client else replace(order, tensors={SEGMENTS: trap}))

    monkeypatch.setattr(HuSCFClient, "begin", begin)
    for _ in range(3):
        training.new_host()
        closed = training.train()
        assert list(closed.opened.session.dropped) == [0]
    assert torch.equal(with_refused({}, training.folder, 0)[REFUSED], torch.tensor([2, 3, 4]))
