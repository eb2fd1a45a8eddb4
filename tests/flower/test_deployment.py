"""A real deployment: TLS, SuperNode authentication, and a SuperNode with data of its own for each client."""

import socket
from pathlib import Path

import grpc
import pytest
import torch

from huscf_flwr.background_process import free_ports
from huscf_flwr.deployment import deploy, deployed_config, make_node_key, supernode
from huscf_flwr.flower.client_keys import read_client_keys
from huscf_flwr.flower.launch import run_on
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.tensor_files import read_tensors
from tests.flower.processes import processes_of
from tests.run.builders import SilentDisplay, small_run, write_domains

APP = Path(__file__).resolve().parents[2]
PATIENCE = 120.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


class Intruders(SilentDisplay):
    """As soon as the first round is on its way, those who must be refused try to come in."""

    def __init__(self, deployment, executor):
        super().__init__()
        self._deployment, self._executor = deployment, executor
        self.outcomes = {}

    def step(self, number, step, steps):
        super().step(number, step, steps)
        self._try_all()

    def round(self, metrics, rounds):
        super().round(metrics, rounds)
        self._try_all()

    def _try_all(self):
        if not self.outcomes:
            self.outcomes = {
                "plaintext to the SuperLink": plaintext_http(self._deployment.superlink.address),
                "plaintext to the executor": plaintext_grpc(self._executor),
                "a SuperNode with an unregistered key": unregistered(self._deployment),
            }


def plaintext_http(address):
    """What a server answers to a request without TLS."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        try:
            return connection.recv(4096)
        except ConnectionError:
            return b""


def plaintext_grpc(address):
    """How an executor ends a call without TLS."""
    with grpc.insecure_channel(address) as channel:
        try:
            return services.SplitExecutorStub(channel).Arrive(messages.Arrival(host="a"), timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code()


def unregistered(deployment):
    """How a SuperNode ends whose key the SuperLink does not know, and what it says."""
    home = deployment.superlink.home / "intruder"
    key = make_node_key(home / "key")
    trusted = deployment.credentials.authority
    node_config = {"client-id": 0, "data-folder": str(home), "root-certificates": str(trusted)}
    with supernode(deployment.superlink, home, trusted, key, node_config) as intruder:
        return intruder.process.wait(PATIENCE), intruder.log.read_text()


@pytest.fixture(scope="module")
def deployed(images, tmp_path_factory):
    """Two rounds of a deployment, with intruders; and what the local engine trains on the same images."""
    output = tmp_path_factory.mktemp("deployed")
    (port,) = free_ports(1)
    settings = {"compute.precision": "float64", "evaluation.every": 0}
    config = small_run(images, output, **settings, **{"executor.bind": f"127.0.0.1:{port}"})
    with deploy(config) as deployment:
        display = Intruders(deployment, f"127.0.0.1:{port}")
        ended = run_on(deployment.superlink, deployed_config(config, deployment.credentials), APP, display)
        running = processes_of(deployment.superlink.home)
    ended.summary(display)
    left = processes_of(deployment.superlink.home)
    local = small_run(images, output, name="local", **settings)
    train_locally(local, display=SilentDisplay())
    return config, deployment, display, local, (running, left)


def weights(folder):
    """All that the server holds at the end: bodies, moments, and the blocks of every cluster."""
    (path,) = (folder / "checkpoint").glob("server-*.safetensors")
    return read_tensors(path)


def test_a_deployment_trains_what_the_local_engine_trains(deployed):
    config, _, _, local, _ = deployed
    found, expected = weights(config.folder), weights(local.folder)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name].double(), tensor.double(), rtol=0, atol=1e-6), name
    assert [line["hosts"] for line in read_metrics(config.folder)] == [4, 4]
    assert read_summary(config.folder)["clusters"]["client_scores"]


def test_plaintext_is_refused_by_superlink_and_executor(deployed):
    outcomes = deployed[2].outcomes
    assert not outcomes["plaintext to the SuperLink"].startswith(b"HTTP/1.1 200")
    assert outcomes["plaintext to the executor"] is grpc.StatusCode.UNAVAILABLE


def test_a_supernode_with_an_unregistered_key_is_refused(deployed):
    returned, log = deployed[2].outcomes["a SuperNode with an unregistered key"]
    assert returned != 0
    assert "SuperNode ID" not in log
    assert "Failed to activate SuperNode" in log


def test_each_client_is_bound_to_the_key_of_its_supernode(deployed):
    config, deployment, *_ = deployed
    keys = read_client_keys(config.folder)
    assert list(keys) == list(deployment.node_ids) == [0, 1, 2, 3]
    assert len(set(keys.values())) == 4


def test_what_was_started_is_stopped(deployed):
    *_, (running, left) = deployed
    assert sum("flower-supernode" in command for command in running) == 4
    assert sum("flower-superlink" in command for command in running) == 1
    assert left == []


def test_images_and_state_stay_where_the_node_config_says(deployed):
    config, deployment, *_ = deployed
    for client in range(config.clients):
        state = deployment.superlink.home / "state" / f"client-{client}"
        assert list(state.rglob(f"client-{client}-round-0002.safetensors"))
    assert not (config.folder / "checkpoint" / "clients").exists()
