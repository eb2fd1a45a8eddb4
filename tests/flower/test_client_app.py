"""The ClientApp's handlers one by one; together they are tested in tests/flower/test_strategy.py."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from huscf_flwr import methods
from huscf_flwr.cuts import load_devices
from huscf_flwr.flower.messages import (
    DESCRIBE,
    JOIN,
    PROTOCOL,
    Arrival,
    DescribeReply,
    DescribeRequest,
    EvaluateRequest,
    Invitation,
)
from huscf_flwr.methods import BUILT_IN, resolved
from huscf_flwr.methods.contract import Orders
from huscf_flwr.methods.huscf.crossing import HuSCFOrder
from huscf_flwr.run.check import population_for
from huscf_flwr.run.checkpoint import save_checkpoint
from huscf_flwr.run.client_files import ClientFileError, OtherImagesError
from huscf_flwr.run.origin import images_hash
from huscf_flwr.session import SessionError
from huscf_flwr.session.wire import ExecutorServer, Rendezvous
from tests.flower.grid_runs import EACH_WAY_ON_DEVICES
from tests.flower.handlers import Service, answered, ask, context, evaluation_of, trained
from tests.quick import OF_EACH_WAY
from tests.run.builders import METHODS, kept_files, small_run


@pytest.fixture
def config(images, tmp_path):
    return small_run(images, tmp_path)


@pytest.fixture(params=METHODS)
def any_config(images, tmp_path, request):
    return small_run(images, tmp_path, **METHODS[request.param], **OF_ONE_CLIENT.get(request.param, {}))


OF_ONE_CLIENT = {"hflgan": {"hflgan.clusters": 1}}
"""What a method needs to be told where there is one client only."""

on_devices = pytest.mark.parametrize("any_config", EACH_WAY_ON_DEVICES, indirect=True)
"""Not for central training, whose clients are whole domains."""


@pytest.fixture
def server():
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_supernode_says_whether_it_was_admitted_and_whom_it_owns(config, images, server):
    invitation = Invitation(
        protocol=PROTOCOL, address=server.address, token=server.open_rendezvous(Rendezvous(1, 1.0))
    )
    records = ask(invitation.to_records(), JOIN, context(config))
    assert Arrival.from_records(records) == Arrival(admitted=True)
    late = context(config, client_id=5, data_folder=str(images / "digits"))
    found = Arrival.from_records(ask(invitation.to_records(), JOIN, late))
    assert found == Arrival(admitted=False, client=5)


def test_without_a_rendezvous_every_supernode_takes_part(config, images):
    own = context(config, client_id=5, data_folder=str(images / "digits"))
    for where, client in ((context(config), None), (own, 5)):
        records = ask(Invitation(protocol=PROTOCOL).to_records(), JOIN, where)
        assert Arrival.from_records(records) == Arrival(admitted=True, client=client)


@pytest.mark.parametrize(("protocol", "theirs"), [(None, "of an older version"), (99, "with protocol 99")])
def test_a_server_that_speaks_another_protocol_is_not_joined(config, protocol, theirs):
    refused = f"the server runs huscf-flwr {theirs}, this device with protocol {PROTOCOL}: install the same"
    with pytest.raises(ValueError, match=refused):
        ask(Invitation(protocol=protocol).to_records(), JOIN, context(config))


def described(clients, where, config):
    records = ask(DescribeRequest(clients=clients).to_records(), DESCRIBE, where)
    return DescribeReply.from_records(records, methods.method_of(config)).clients


@on_devices
def test_hosts_describe_their_virtual_clients(any_config):
    profiles = load_devices("paper").devices
    found = described((1, 3), context(any_config), any_config)
    assert {client: (each.samples, each.device) for client, each in found.items()} == {
        1: (30, profiles[1]),
        3: (30, profiles[3]),
    }


def test_pooled_clients_are_described_with_all_that_was_pooled(images, tmp_path):
    config = small_run(images, tmp_path, **METHODS["central"])
    found = described((0, 1), context(config), config)
    assert {client: (each.samples, each.largest) for client, each in found.items()} == {
        0: (60, 30),
        1: (60, 30),
    }


def test_a_device_does_not_stand_for_others(images, tmp_path):
    config = small_run(images, tmp_path, **METHODS["central"])
    own = context(config, client_id=0, data_folder=str(images / "letters"))
    with pytest.raises(ValueError, match="pooled images of all clients, which only a simulation has"):
        described((0,), own, config)


@on_devices
def test_owners_describe_their_own(any_config, images):
    own = context(any_config, client_id=9, data_folder=str(images / "letters"), device_profile="paper:d7")
    found = described((9,), own, any_config)
    assert found[9].samples == 60
    assert found[9].device.name == "d7"


def test_a_round_brings_back_trained_tensors_and_losses(any_config, server):
    count = 60 if any_config.method == "central" else 30
    service, where = Service(any_config, server, {0: count, 1: count}), context(any_config)
    reply = service.ask(service.request(), where)
    assert dict(where.state) == {}  # no state travels with the messages
    assert reply.uploads.keys() == {0, 1}
    assert reply.drop_outs == {}
    # Of an embedding of three images a label nothing is seen.
    if any_config.privacy.critic == "discriminator":
        assert len({str(upload.losses) for upload in reply.uploads.values()}) == 2
    for client, upload in reply.uploads.items():
        service.rounds.read_upload(client, upload)
        assert upload.kept.round == 1
        assert upload.times.compute_s > 0
    assert service.session.dropped == {}


def damage(file):
    file.write_bytes(file.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize("lose", [damage, Path.unlink])
@pytest.mark.parametrize("any_config", OF_EACH_WAY, indirect=True)
def test_a_simulation_that_has_lost_what_a_client_kept_does_not_go_on(any_config, server, tmp_path, lose):
    service = Service(any_config, server, {0: 30})
    _, kept = trained(service, context(any_config))
    (file,) = kept_files(tmp_path / "small" / "checkpoint" / "clients").values()
    lose(file)
    with pytest.raises(ClientFileError, match="does not have what client 0 kept after round 1"):
        trained(service, context(any_config), kept=kept)


@pytest.fixture
def own(images, tmp_path):
    return {"client_id": 0, "data_folder": str(images / "digits"), "state_folder": str(tmp_path / "state")}


@on_devices
def test_an_owner_goes_on_with_what_it_kept_in_another_run(any_config, server, own):
    """The same two rounds: in one Flower run, and in two."""
    losses = []
    for second_run in (7, 8):
        service = Service(any_config, server, {0: 60})
        _, kept = trained(service, context(any_config, **own))
        losses.append(trained(service, context(any_config, run_id=second_run, **own), kept=kept)[0])
    assert losses[0] == losses[1]


@on_devices
def test_what_an_owner_kept_of_another_training_is_not_taken(any_config, server, own, tmp_path):
    services = [Service(any_config, server, {0: 60}) for _ in range(2)]
    first, second = (trained(service, context(any_config, **own))[0] for service in services)
    assert first == second
    folders = {path.name for path in (tmp_path / "state").iterdir()}
    assert folders == {service.rounds.training for service in services}


@pytest.mark.parametrize("lose", [damage, Path.unlink])
def test_an_owner_that_has_lost_what_it_kept_says_so_and_starts_anew(
    config, server, own, tmp_path, caplog, lose
):
    def two_rounds(prepare, *, told):
        service = Service(config, server, {0: 60})
        _, kept = trained(service, context(config, **own))
        (file,) = kept_files(tmp_path / "state" / service.rounds.training).values()
        prepare(file)
        return trained(service, context(config, **own), kept=kept if told else {})[0]

    anew = two_rounds(str, told=False)
    assert two_rounds(str, told=True) != anew
    assert caplog.records == []
    assert two_rounds(lose, told=True) == anew
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "what client 0 kept after round 1" in warning.getMessage()
    assert warning.getMessage().endswith("it starts anew")


@on_devices
@pytest.mark.parametrize("name", ["../../elsewhere", "", "AB" * 16, "ab" * 15])
def test_a_training_whose_name_is_no_folders_is_refused(any_config, server, own, tmp_path, name):
    service = Service(any_config, server, {0: 60})
    with pytest.raises(ValueError, match="is not the name of a training"):
        service.ask(service.request(training=name), context(any_config, **own))
    assert not (tmp_path / "state").exists()


def test_a_failure_reaches_the_executor_before_anybody_waits(config, server):
    service = Service(config, server, {0: 30})
    order = replace(service.rounds.method.orders(1, [0]).clients[0], facts=HuSCFOrder(cut=(9, 1, 1, 1)))
    with pytest.raises(ValueError, match="generator_head keeps 9 blocks"):
        service.ask(service.request(orders=Orders(clients={0: replace(order, groups=())})), context(config))
    assert isinstance(service.session.failure, SessionError)
    assert service.session.dropped[0].reason == "ValueError"


def test_a_message_that_is_delivered_twice_trains_once_in_lock_step(config, server):
    service = Service(config, server, {0: 30})
    request = service.request()
    service.ask(request, context(config))
    with pytest.raises(SessionError, match="the token has been used"):
        service.ask(request, context(config))
    assert service.session.failure is None


def test_a_message_that_is_delivered_twice_is_answered_alike_without_lock_step(images, tmp_path, server):
    """Also after the file that the second delivery would write is there already."""
    config = small_run(images, tmp_path, method="fedgan")
    service = Service(config, server, {0: 30})
    request = service.request()
    first, second = (service.ask(request, context(config)).uploads[0] for _ in range(2))
    assert (first.losses, first.kept) == (second.losses, second.kept)


def test_a_client_that_diverges_is_told_to_have_dropped_out(images, tmp_path, server):
    """The server cannot see it by itself where there is no lock-step."""
    config = small_run(images, tmp_path, method="fedgan", **{"optimiser.learning_rate": 1e30})
    service = Service(config, server, {0: 30, 1: 30})
    reply = service.ask(service.request(), context(config))
    assert reply.uploads == {}
    assert reply.drop_outs.keys() == {0, 1}
    assert re.fullmatch(r"client 1: the \w+'s loss is (nan|inf)", reply.drop_outs[1])


@pytest.mark.parametrize(
    ("threads", "neighbours", "own", "expected"),
    [
        (3, 4, False, 3),
        (0, 1, False, 8),
        (0, 3, False, 2),
        (0, 100, False, 1),
        (0, 4, True, 8),
    ],
)
def test_cores_are_shared_among_hosts_and_a_real_device_has_its_own(
    images, tmp_path, server, monkeypatch, threads, neighbours, own, expected
):
    used = []
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    settings = {"compute.threads": threads, "evaluation.synthetic_images": 2, "method": "fedgan"}
    config = small_run(images, tmp_path, **settings)
    node = (
        {"client_id": 0, "data_folder": str(images / "digits"), "state_folder": str(tmp_path)} if own else {}
    )
    service = Service(config, server, {0: 60 if own else 30})
    service.ask(service.request(neighbours=neighbours), context(config, **node))
    assert used == [expected]
    product = dict(service.rounds.method.products()[0].tensors) if own else {}
    judged = EvaluateRequest(evaluation_of(), neighbours, *((0, product) if own else ()))
    reply = answered(config, context(config, **node), judged)
    assert used == [expected] * 2
    assert reply.products.keys() == ({0} if own else set())


def test_a_bad_run_config_is_named(config):
    where = context(config)
    where.run_config["rouns"] = 3
    with pytest.raises(ValueError, match=r"run config: .*'rouns'.*did you mean 'rounds'"):
        described((0,), where, config)


def test_a_clientapp_starts_and_trains_without_what_only_a_server_needs():
    """In a deployment every message starts a process; one with all methods has what any of them loads.

    PyTorch's compiler, which its optimisers load, would take as long as PyTorch itself.
    """
    script = """
import client_apps, sys, torch
from huscf_flwr.config import load_config
from huscf_flwr.methods import BUILT_IN, method_named
from huscf_flwr.methods.classifier_training import ClassifierTraining
from huscf_flwr.models import all_block_keys, load_model_spec
from huscf_flwr.split import Segments

[method_named(name) for name in BUILT_IN]
spec = load_model_spec("authors-28", 0.03)
blocks = Segments(spec, list(all_block_keys(spec)), seed=0).generator
sum(each.sum() for each in blocks.blocks.parameters()).backward()
blocks.apply_gradients()
config = load_config("demo", ["classifier.family=family5"])
ClassifierTraining(0, config).step(torch.zeros(2, 1, 28, 28), torch.zeros(2, dtype=torch.int64))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"torch", "huscf_flwr.flower.client_app"} <= loaded
    assert {f"huscf_flwr.methods.{method}" for method in BUILT_IN} <= loaded
    only_servers = {"sklearn", "scipy.optimize", "matplotlib", "PIL", "psutil", "huscf_flwr.flower.strategy"}
    assert loaded & {*only_servers, "torch._dynamo"} == set()


def test_a_process_that_finds_other_images_than_the_run_began_with_does_not_train(config, server):
    """As one does that is started after images were changed; the last checkpoint knows those of the run."""
    own = images_hash(population_for(resolved(config), methods.method_of(config)))
    for known in (own, "ab" * 32):
        service = Service(config, server, {0: 30})
        service.rounds.images = known
        save_checkpoint(service.rounds, config.folder)
        if known == own:
            trained(service, context(config))
            continue
        with pytest.raises(OtherImagesError, match="this SuperNode finds are not those that the run began"):
            service.ask(service.request(), context(config))
