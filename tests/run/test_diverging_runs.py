"""Runs whose weights diverge: what is said, who drops out, what is kept and what goes on."""

import threading

import pytest
import torch

from huscf_flwr.methods.huscf import HuSCFClient
from huscf_flwr.run.run import RoundFailedError
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.session import TooFewClientsError
from tests.run.builders import (
    UNJUDGED,
    assert_same_run,
    server_tensors,
    small_run,
)
from tests.run.local_runs import train


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_diverging_run_names_round_step_and_client_and_keeps_what_it_wrote(images, tmp_path, hosts):
    """The discriminator's weights are 1e30 when it looks at the fakes once more."""
    config = small_run(images, tmp_path, **{"optimiser.learning_rate": 1e30})
    before = threading.active_count()
    with pytest.raises(
        RoundFailedError,
        match=r"round 1: 0 clients are left, fewer than min_clients = 1; .* client \d, CRITICISE up: numbers "
        "that are not finite or far too large",
    ) as caught:
        train(config, hosts=hosts)
    assert isinstance(caught.value.__cause__, TooFewClientsError)
    assert threading.active_count() == before
    assert (config.folder / "config.yaml").is_file()
    assert (config.folder / "cuts.json").is_file()


def poison(monkeypatch, client, number):
    """Break the discriminator of a client at the start of a round."""
    begin = HuSCFClient.begin

    def begin_broken_round(member, current, order):
        begin(member, current, order)
        if (member.client, current) == (client, number):
            with torch.no_grad():
                member.split.segments.discriminator.blocks.at(4).main.bias.fill_(float("nan"))

    monkeypatch.setattr(HuSCFClient, "begin", begin_broken_round)


@pytest.mark.slow
def test_a_run_that_loses_too_many_clients_keeps_its_rounds_and_can_be_resumed(images, tmp_path, monkeypatch):
    settings = {**UNJUDGED, "min_clients": 4}
    with monkeypatch.context() as patched:
        poison(patched, client=1, number=2)
        with pytest.raises(
            RoundFailedError,
            match=r"round 2: 3 clients are left, .* client 1: the discriminator's loss is nan",
        ):
            train(small_run(images, tmp_path, name="broken", **settings))
    assert [line["round"] for line in read_metrics(tmp_path / "broken")] == [1]

    resumed = small_run(images, tmp_path, name="mended", resume=tmp_path / "broken", **settings)
    whole = small_run(images, tmp_path, name="whole", **settings)
    for config in (resumed, whole):
        train(config)
    assert_same_run(resumed.folder, whole.folder)


@pytest.mark.slow
def test_a_client_that_diverges_is_in_no_average_of_its_round_and_comes_back(images, tmp_path, monkeypatch):
    """On two hosts; test_all_methods has one too."""
    poison(monkeypatch, client=1, number=2)
    settings = UNJUDGED
    config = small_run(images, tmp_path, rounds=3, **settings)
    train(config, hosts=2)
    first, second, third = read_metrics(config.folder)
    reason = "client 1: the discriminator's loss is nan"
    assert second["drop_outs"] == [
        {"id": 1, "step": 1, "exchange": "DISCRIMINATOR_BACKWARD", "reason": reason}
    ]
    assert first["drop_outs"] == third["drop_outs"] == []
    assert [[client["id"] for client in line["clients"]] for line in (first, second, third)] == [
        [0, 1, 2, 3],
        [0, 2, 3],
        [0, 1, 2, 3],
    ]
    assert all(tensor.isfinite().all() for tensor in server_tensors(config.folder).values())
