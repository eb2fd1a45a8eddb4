"""The ClientApp's handlers one by one; together they are tested in tests/flower/test_strategy.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from huscf_flwr.methods.huscf.parts import model_spec_of

from client_apps import app
from huscf_flwr.config import to_run_config
from huscf_flwr.cuts import load_devices
from huscf_flwr.flower.messages import (
    DESCRIBE,
    EVALUATE,
    RENDEZVOUS,
    TRAIN,
    Arrival,
    DescribeRequest,
    Description,
    EvaluateRequest,
    Invitation,
    TrainReply,
    TrainRequest,
)
from huscf_flwr.models import Cut, build_network
from huscf_flwr.run.client_files import MomentsError
from huscf_flwr.session import SessionError
from huscf_flwr.session.wire import ExecutorServer, Rendezvous, StreamClaim
from tests.run.builders import coordinator_of, small_run, write_domains

CUT = Cut(1, 1, 1, 1)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


@pytest.fixture
def config(images, tmp_path):
    return small_run(images, tmp_path)


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


def context(config, run_id=7, **node_config):
    named = {key.replace("_", "-"): value for key, value in node_config.items()}
    return Context(run_id, 42, named, RecordDict(), to_run_config(config))


def ask(content, message_type, where):
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, 7, 1
    message = Message(content.to_records(), dst_node_id=42, message_type=message_type)
    return app(message, where).content


def test_a_supernode_says_whether_it_was_admitted_and_whom_it_owns(config, images, server):
    invitation = Invitation(server.address, server.open_rendezvous(Rendezvous(1, 1.0)))
    records = ask(invitation, RENDEZVOUS, context(config))
    assert Arrival.from_records(records) == Arrival(True, None)
    late = context(config, client_id=5, data_folder=str(images / "digits"))
    assert Arrival.from_records(ask(invitation, RENDEZVOUS, late)) == Arrival(False, 5)


def test_hosts_tell_counts_and_profiles_of_their_virtual_clients(config):
    found = Description.from_records(ask(DescribeRequest((1, 3)), DESCRIBE, context(config)))
    profiles = load_devices("paper").devices
    assert found == Description({1: 30, 3: 30}, {1: profiles[1], 3: profiles[3]})


def test_owners_tell_their_own(config, images):
    own = context(config, client_id=9, data_folder=str(images / "letters"), device_profile="paper:d7")
    found = Description.from_records(ask(DescribeRequest((9,)), DESCRIBE, own))
    assert found.samples == {9: 60}
    assert found.devices[9].name == "d7"


class Server:
    """A coordinator with one host, round after round."""

    def __init__(self, config, server, samples):
        self.server = server
        self.coordinator = coordinator_of(config, samples=samples, cuts=dict.fromkeys(samples, CUT))

    def request(self, run_id=7, **changes):
        coordinator, clients = self.coordinator, list(self.coordinator.samples)
        blocks = coordinator.blocks_for(clients)
        self.session = coordinator.open_round([clients])
        claim = StreamClaim(run_id, coordinator.round, 1, 42, tuple(sorted(clients)))
        (token,) = self.server.open_session(self.session, [claim])
        given = {
            "round": coordinator.round,
            "attempt": 1,
            "answer_seconds": 30.0,
            "steps": coordinator.steps,
            "address": self.server.address,
            "token": token,
            "cuts": dict.fromkeys(clients, CUT),
            "clusters": dict.fromkeys(clients, 0),
            "blocks": blocks,
            "taken": {},
            "neighbours": 1,
            "training": coordinator.training,
            "kept": {},
        }
        return TrainRequest(**{**given, **changes})


def test_a_round_brings_back_trained_blocks_and_losses(config, server):
    service = Server(config, server, {0: 30, 1: 30})
    where = context(config)
    request = service.request()
    reply = TrainReply.from_records(ask(request, TRAIN, where))
    assert set(reply.blocks) == set(reply.losses) == {0, 1}
    for states in reply.blocks.values():
        assert len(states) == sum(CUT)
        sent = request.blocks[0]["generator", 0]["main.weight"]
        assert not torch.equal(states["generator", 0]["main.weight"], sent)
    assert {client: kept.round for client, kept in reply.kept.items()} == {0: 1, 1: 1}


def damage(file):
    file.write_bytes(file.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize("lose", [damage, Path.unlink])
def test_a_simulation_whose_moments_are_lost_does_not_go_on(config, server, tmp_path, lose):
    service = Server(config, server, {0: 30})
    kept = TrainReply.from_records(ask(service.request(), TRAIN, context(config))).kept
    (file,) = (tmp_path / "small" / "checkpoint" / "clients").iterdir()
    lose(file)
    with pytest.raises(MomentsError, match="does not have the moments that client 0 kept after round 1"):
        ask(service.request(kept=kept), TRAIN, context(config))


def trained(service, where, **changes):
    """Losses of a round, and what the client kept."""
    reply = TrainReply.from_records(ask(service.request(where.run_id, **changes), TRAIN, where))
    return reply.losses, reply.kept


@pytest.fixture
def own(images, tmp_path):
    return {"client_id": 0, "data_folder": str(images / "digits"), "state_folder": str(tmp_path / "state")}


def test_an_owner_goes_on_with_its_moments_in_another_run(config, server, own):
    """The same two rounds: in one Flower run, and in two."""
    losses = []
    for second_run in (7, 8):
        service = Server(config, server, {0: 60})
        _, kept = trained(service, context(config, **own))
        losses.append(trained(service, context(config, run_id=second_run, **own), kept=kept)[0])
    assert losses[0] == losses[1]


def test_an_owners_moments_of_another_training_are_not_taken_for_its_own(config, server, own, tmp_path):
    services = [Server(config, server, {0: 60}) for _ in range(2)]
    assert trained(services[0], context(config, **own))[0] == trained(services[1], context(config, **own))[0]
    folders = {path.name for path in (tmp_path / "state").iterdir()}
    assert folders == {service.coordinator.training for service in services}


@pytest.mark.parametrize("lose", [damage, Path.unlink])
def test_an_owner_that_has_lost_its_moments_says_so_and_starts_them_anew(
    config, server, own, tmp_path, caplog, lose
):
    def two_rounds(prepare, *, told):
        service = Server(config, server, {0: 60})
        _, kept = trained(service, context(config, **own))
        (file,) = (tmp_path / "state" / service.coordinator.training).iterdir()
        prepare(file)
        return trained(service, context(config, **own), kept=kept if told else {})[0]

    anew = two_rounds(str, told=False)
    assert two_rounds(str, told=True) != anew
    assert caplog.records == []
    assert two_rounds(lose, told=True) == anew
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "the moments that client 0 kept after round 1" in warning.getMessage()
    assert warning.getMessage().endswith("they start anew")


@pytest.mark.parametrize("name", ["../../elsewhere", "", "AB" * 16, "ab" * 15])
def test_a_training_whose_name_is_no_folders_is_refused(config, server, own, tmp_path, name):
    service = Server(config, server, {0: 60})
    with pytest.raises(ValueError, match="is not the name of a training"):
        ask(service.request(training=name), TRAIN, context(config, **own))
    assert not (tmp_path / "state").exists()


def test_a_failure_reaches_the_executor_before_anybody_waits(config, server):
    service = Server(config, server, {0: 30})
    with pytest.raises(ValueError, match="generator_head keeps 9 blocks"):
        ask(service.request(cuts={0: Cut(9, 1, 1, 1)}), TRAIN, context(config))
    assert isinstance(service.session.failure, SessionError)
    assert service.session.dropped[0].reason == "ValueError"


def test_a_message_that_is_delivered_twice_trains_once(config, server):
    service = Server(config, server, {0: 30})
    request = service.request()
    ask(request, TRAIN, context(config))
    with pytest.raises(SessionError, match="the token has been used"):
        ask(request, TRAIN, context(config))
    assert service.session.failure is None


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
    config = small_run(images, tmp_path, **{"compute.threads": threads})
    node = (
        {"client_id": 0, "data_folder": str(images / "digits"), "state_folder": str(tmp_path)} if own else {}
    )
    service = Server(config, server, {0: 60 if own else 30})
    ask(service.request(neighbours=neighbours), TRAIN, context(config, **node))
    assert used == [expected]


@pytest.mark.parametrize("own", [{}, {"client_id": 1, "data_folder": "/data"}])
def test_only_the_owner_of_a_client_judges_for_it(config, own):
    spec = model_spec_of(config)
    request = EvaluateRequest(0, build_network(spec, "generator").states())
    with pytest.raises(ValueError, match="client 0 is not owned by this SuperNode"):
        ask(request, EVALUATE, context(config, **own))


def test_a_bad_run_config_is_named(config):
    where = context(config)
    where.run_config["rouns"] = 3
    with pytest.raises(ValueError, match=r"run config: .*'rouns'.*did you mean 'rounds'"):
        ask(DescribeRequest((0,)), DESCRIBE, where)


def test_no_state_travels_with_the_messages(config, server):
    service = Server(config, server, {0: 30})
    where = context(config)
    ask(service.request(), TRAIN, where)
    assert dict(where.state) == {}


def test_a_clientapp_starts_without_what_only_a_server_needs():
    """In a deployment every message starts a process."""
    script = "import client_apps, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"torch", "huscf_flwr.flower.client_app"} <= loaded
    assert loaded & {"sklearn", "scipy.optimize", "matplotlib", "huscf_flwr.flower.strategy"} == set()
