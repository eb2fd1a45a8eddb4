"""A real deployment: TLS, SuperNode authentication, and a SuperNode with data of its own for each client.

It is started once, and serves all methods in turn: first undisturbed, with strangers at its doors, then with
SuperNodes that are killed in mid-round. Two rounds of HuSCF-GAN are undisturbed too. Of its four clients,
client 0 is killed in round 3 before the first step, client 1 during a step, and client 2 after the last,
before its reply is there; client 0 is started again, and takes part in round 4. Then client 3 is killed while
it trains with FedGAN. Before, FedGAN is trained while the images of client 2 are damaged: undisturbed are the
three others, and the local engine trains the same three.

Every message is a process that takes seconds to start, so that no round is run twice: what a client keeps
from round to round is seen with HuSCF-GAN, and the others have one.

Nothing waits for a clock: clients halt where they are to be killed (``troubled_methods``), and the deadlines
of the product are far away.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from safetensors.torch import load_file

from huscf_flwr.background_process import ProcessTree, background_process, free_ports
from huscf_flwr.deployment import make_node_key
from huscf_flwr.deployment.demo import deploy, deployed_config
from huscf_flwr.deployment.processes import supernode
from huscf_flwr.flower import watching
from huscf_flwr.flower.client_keys import read_client_keys
from huscf_flwr.flower.launch import run_on
from huscf_flwr.flower.superlink import flower_environment
from huscf_flwr.methods import method_of
from huscf_flwr.run.checkpoint import checkpoint_folder
from huscf_flwr.run.client_files import owners_folder
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from huscf_flwr.session.wire import StreamClaim
from huscf_flwr.session.wire import split_session_pb2 as messages
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.session.wire.endpoint import open_channel
from huscf_flwr.session.wire.server import CHANNEL_OPTIONS
from tests.flower.grid_runs import DOUBLE, dropped_in, trained_in, training_of
from tests.flower.plaintext import plaintext_http
from tests.flower.processes import processes_of
from tests.flower.troubled_methods import STEP, waits
from tests.run.builders import (
    METHODS,
    SilentDisplay,
    assert_close,
    evaluations,
    kept_files,
    last_private_tensors,
    server_tensors,
    small_run,
    write_domains,
)

APP = Path(__file__).resolve().parents[2]
FAR_AWAY = 3600.0
TROUBLED = "tests.flower.troubled_methods:Troubled"

pytestmark = pytest.mark.slow


DEPLOYED = {"fedgan": 1, "fedproto": 1, "huscf": 2}
"""How many rounds of each method are undisturbed. Others are shown in one process: test_strategy.py."""

CLIENTS = {"fedgan": (0, 1, 3), "fedproto": (0, 1, 2, 3), "huscf": (0, 1, 2, 3)}
"""Who takes part in them."""
DAMAGED = 2
"""Whose images are damaged while FedGAN is trained."""

BETWEEN_TRIES = 10.0
"""Seconds between two tries of a SuperNode to be let in again: each is a process, and few will do."""

BETWEEN_QUESTIONS = 60.0
"""Seconds between two questions to Flower how a run is: each is a process too, and runs say when they end."""


class Strangers(SilentDisplay):
    """As soon as the first round is on its way, those who must be refused try to come in."""

    def __init__(self, deployment, executor):
        super().__init__()
        self._deployment, self._executor = deployment, executor
        self.fared = {}

    def step(self, number, step, steps):
        super().step(number, step, steps)
        self._try_all()

    def round(self, metrics, rounds):
        super().round(metrics, rounds)
        self._try_all()

    def _try_all(self):
        if not self.fared:
            self.fared = {
                "plaintext to the SuperLink": plaintext_http(self._deployment.superlink.address, FAR_AWAY),
                "plaintext to the executor": plaintext_grpc(self._executor),
                "a SuperNode with an unregistered key": unregistered(self._deployment),
            }


def plaintext_grpc(address):
    """How an executor ends a call without TLS."""
    with grpc.insecure_channel(address) as channel:
        try:
            return services.SplitExecutorStub(channel).Arrive(messages.Arrival(host="a"), timeout=FAR_AWAY)
        except grpc.RpcError as error:
            return error.code()


def unregistered(deployment):
    """How a SuperNode ends whose key the SuperLink does not know, and what it says."""
    home = deployment.superlink.home / "intruder"
    key = make_node_key(home / "key")
    trusted = deployment.credentials.authority
    node_config = {"client-id": 0, "data-folder": str(home), "root-certificates": str(trusted)}
    with supernode(deployment.superlink, home, trusted, key, node_config) as intruder:
        return intruder.process.wait(), intruder.log.read_text()


def stream(address, token, roots):
    """How the executor ends a stream with this token."""
    claim = StreamClaim(round=3, attempt=1, clients=(3,))
    with open_channel(address, roots, CHANNEL_OPTIONS) as channel:
        try:
            return list(services.SplitExecutorStub(channel).Session(iter([]), metadata=claim.metadata(token)))
        except grpc.RpcError as error:
            return error.code(), error.details()


def knock(address, roots):
    return {
        "no token": stream(f"tls://{address}", "", roots),
        "a wrong token": stream(f"tls://{address}", "wrong", roots),
        "plaintext": stream(address, "wrong", None),
    }


def kill(node):
    """As if the device lost its power: no process of it says goodbye."""
    os.killpg(node.process.pid, signal.SIGKILL)


class Deployed:
    """A deployment, and the runs that it has served."""

    def __init__(self, images, output, stack):
        (port,) = free_ports(1)
        self.executor = f"127.0.0.1:{port}"
        settings = {"clients": 4, "local_epochs": 2, "evaluation.every": 0, "data.held_out": 0.2}
        self.settings = {**DOUBLE, **settings}
        self._images, self._output, self._stack = images, output, stack
        self._pool = stack.enter_context(ThreadPoolExecutor(1))
        self.deployment = stack.enter_context(deploy(self.config("deployment")))

    def config(self, name, **settings):
        far = dict.fromkeys(("timeout", "least_deadline"), FAR_AWAY)
        executor = {f"executor.{key}": value for key, value in {"bind": self.executor, **far}.items()}
        return small_run(self._images, self._output, name=name, **self.settings, **executor, **settings)

    def local(self, method):
        """Train the same clients for the undisturbed rounds on the local engine; return the configuration."""
        config = self.config(f"local-{method}", rounds=DEPLOYED[method], **METHODS[method])
        named = method_of(config)
        same = type(named.__name__, (named,), {"select": lambda *_: CLIENTS[method]})
        train_locally(config, display=SilentDisplay(), judged=False, make_method=same)
        return config

    def run(self, config, display, cause_trouble=lambda ended: None, min_hosts=4):
        """Run to the end; return what ``cause_trouble`` made of it meanwhile."""
        secured = deployed_config(config, self.deployment.credentials)
        secured = secured.model_copy(update={"min_hosts": min_hosts})
        ended = self._pool.submit(run_on, self.deployment.superlink, secured, APP, display)
        found = cause_trouble(ended)
        ended.result().summary(display)
        return found

    def kill_when_it_waits(self, config, client, ended):
        while not waits(config.folder, client).exists():
            assert not ended.done(), ended.result().log.read_text()
            time.sleep(0.05)
        kill(self.deployment.supernodes[client])

    def started_again(self, client, ended):
        """Start a SuperNode that was killed, as often as it takes; return what it says once it is let in.

        Flower lets a key in again when the heartbeats of the process that had it before are missed.
        """
        node = self.deployment.supernodes[client]
        log = node.log.with_name("again.log")
        while not ended.done():
            tree = ProcessTree(flower_environment(node.log.parent))
            process = self._stack.enter_context(background_process(node.process.args, tree, log))
            while process.poll() is None:
                if "SuperNode ID" in log.read_text():
                    return log.read_text()
                time.sleep(0.1)
            time.sleep(BETWEEN_TRIES)
        raise AssertionError(log.read_text())


class Ran:
    """All that the tests look at."""

    def __init__(self, images, output):
        with ExitStack() as stack:
            deployed = Deployed(images, output, stack)
            self.deployment = deployed.deployment
            home = self.deployment.superlink.home
            self.configs = {
                method: deployed.config(method, rounds=1, **METHODS[method])
                for method in ("fedproto", "fedgan")
            }
            deployed.run(self.configs["fedproto"], SilentDisplay())
            self.run_with_damaged_images(deployed, self.configs["fedgan"])
            self.running = processes_of(home)
            self.configs["huscf"] = self.troubled_huscf(deployed)
            self.troubled_fedgan(deployed)
        self.left = processes_of(home)
        self.local = {method: deployed.local(method) for method in DEPLOYED}

    def state_folder(self, method, client):
        """Where a client's SuperNode keeps what belongs to the training with a method."""
        state = self.deployment.superlink.home / "state" / f"client-{client}"
        return owners_folder(state, training_of(self.configs[method]))

    def kept(self, method):
        """What all clients kept after the last undisturbed round, as ``last_private_tensors`` has it."""
        files = {}
        for client in CLIENTS[method]:
            name = f"client-{client}-round-{DEPLOYED[method]:04}"
            files[name] = kept_files(self.state_folder(method, client))[name]
        return {f"{kept}/{name}": t for kept, path in files.items() for name, t in load_file(path).items()}

    def run_with_damaged_images(self, deployed, config):
        """Train while the images of a client are cut off."""
        data = self.deployment.superlink.home / "data" / f"client-{DAMAGED}"
        self.cut_off = max(data.glob("train-images*"))
        whole = self.cut_off.read_bytes()
        self.cut_off.write_bytes(whole[: len(whole) // 2])
        deployed.run(config, SilentDisplay(), min_hosts=3)
        self.cut_off.write_bytes(whole)

    def troubled_huscf(self, deployed):
        """Train with HuSCF-GAN, undisturbed in the first rounds, of which all checkpoints are kept."""
        kept = {"checkpoint.keep_last": 9}
        config = self.huscf = deployed.config("huscf", method=f"{TROUBLED}HuSCF", rounds=4, **kept)

        def trouble(ended):
            deployed.kill_when_it_waits(config, 0, ended)
            deployed.kill_when_it_waits(config, 1, ended)
            roots = self.deployment.credentials.authority.read_bytes()
            self.knocked = knock(deployed.executor, roots)
            self.again = deployed.started_again(0, ended)
            deployed.kill_when_it_waits(config, 2, ended)

        self.display = Strangers(self.deployment, deployed.executor)
        deployed.run(config, self.display, trouble)
        return config

    def troubled_fedgan(self, deployed):
        config = self.fedgan = deployed.config("troubled-fedgan", method=f"{TROUBLED}FedGAN", rounds=1)
        deployed.run(
            config,
            SilentDisplay(),
            lambda ended: deployed.kill_when_it_waits(config, 3, ended),
            min_hosts=2,
        )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    images = write_domains(tmp_path_factory.mktemp("images"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "_STATUS_SECONDS", BETWEEN_QUESTIONS)
        return Ran(images, tmp_path_factory.mktemp("deployed"))


@pytest.mark.parametrize("method", DEPLOYED)
def test_a_deployment_trains_what_the_local_engine_trains(ran, method):
    """What clients keep for themselves too, each in its own folder."""
    config, local = ran.configs[method], ran.local[method].folder
    found = load_file(checkpoint_folder(config.folder) / f"server-{DEPLOYED[method]:04}.safetensors")
    assert_close(found, server_tensors(local))
    assert_close(ran.kept(method), last_private_tensors(local))
    undisturbed = read_metrics(config.folder)[: DEPLOYED[method]]
    assert [line["hosts"] for line in undisturbed] == [len(CLIENTS[method])] * DEPLOYED[method]


@pytest.mark.parametrize("method", DEPLOYED)
def test_clients_judge_at_the_end(ran, method):
    """Products of the server, or models of their own."""
    summary = read_summary(ran.configs[method].folder)
    assert all("client_scores" in product for product in summary["products"].values())
    assert bool(summary["products"]) != ("own_models" in summary)


def test_clients_score_models_of_their_own_on_images_of_their_own(ran):
    """Those that they hold out, as virtual clients do, and the part of the test images that each has."""
    config = ran.configs["fedproto"]
    (found,), (expected,) = (evaluations(each.folder) for each in (config, ran.local["fedproto"]))
    assert [client["id"] for client in found["clients"]] == [0, 1, 2, 3]
    for own, others in zip(found["clients"], expected["clients"], strict=True):
        assert own["held_out"] == pytest.approx(others["held_out"], abs=1e-6)
        assert own["test"].keys() == others["test"].keys()
    assert read_summary(config.folder)["own_models"] == found["scores"]


def test_an_owner_whose_images_are_damaged_is_left_out_and_only_its_own_log_names_the_file(ran):
    config = ran.configs["fedgan"]
    assert trained_in(config) == [[0, 1, 3]]
    said_by_the_server = (config.folder / "flower.log").read_text()
    assert (
        "client 2: its images cannot be used, since they are damaged or in no known form"
        in said_by_the_server
    )
    assert ran.cut_off.name not in said_by_the_server
    assert str(ran.cut_off) in ran.deployment.supernodes[DAMAGED].log.read_text()


def test_plaintext_is_refused_by_superlink_and_executor(ran):
    assert not ran.display.fared["plaintext to the SuperLink"].startswith(b"HTTP/1.1 200")
    assert ran.display.fared["plaintext to the executor"] is grpc.StatusCode.UNAVAILABLE


def test_a_supernode_with_an_unregistered_key_is_refused(ran):
    returned, log = ran.display.fared["a SuperNode with an unregistered key"]
    assert returned != 0
    assert "SuperNode ID" not in log
    assert "Failed to activate SuperNode" in log


@pytest.mark.parametrize("method", DEPLOYED)
def test_each_client_is_bound_to_the_key_of_its_supernode(ran, method):
    keys = read_client_keys(ran.configs[method].folder)
    assert list(keys) == list(ran.deployment.node_ids) == [0, 1, 2, 3]
    assert len(set(keys.values())) == 4


def test_what_was_started_is_stopped(ran):
    assert sum("flower-supernode" in command for command in ran.running) == 4
    assert sum("flower-superlink" in command for command in ran.running) == 1
    assert ran.left == []


@pytest.mark.parametrize("method", DEPLOYED)
def test_images_and_state_stay_where_the_node_config_says(ran, method):
    config = ran.configs[method]
    for client in CLIENTS[method]:
        kept = kept_files(ran.state_folder(method, client))
        assert f"client-{client}-round-{DEPLOYED[method]:04}" in kept
    assert not (config.folder / "checkpoint" / "clients").exists()


def test_the_run_finishes_without_those_that_were_killed(ran):
    assert trained_in(ran.huscf) == [[0, 1, 2, 3], [0, 1, 2, 3], [3], [0, 3]]
    assert read_summary(ran.huscf.folder)["rounds"] == 4


def test_it_is_told_when_and_why_each_dropped_out(ran):
    line = read_metrics(ran.huscf.folder)[2]
    before, during, after = line["drop_outs"]
    assert [dropped["id"] for dropped in line["drop_outs"]] == [0, 1, 2]
    assert (before["step"], before["exchange"]) == (1, "GENERATE")
    # Whichever comes first: its stream breaks, or Flower misses its heartbeats.
    assert before["reason"].startswith(("left after 0 steps", f"SuperNode {ran.deployment.node_ids[0]}: "))
    assert (during["step"], during["exchange"]) == (STEP, "GENERATE")
    assert f"left after {STEP - 1} steps" in during["reason"]
    assert (after["step"], after["exchange"]) == (None, None)
    assert after["reason"].startswith(f"SuperNode {ran.deployment.node_ids[2]}: ")
    assert ran.display.rounds[2]["drop_outs"] == line["drop_outs"]


def test_a_client_whose_supernode_is_started_again_takes_part_again(ran):
    assert f"SuperNode ID: {ran.deployment.node_ids[0]}" in ran.again
    assert 0 in trained_in(ran.huscf)[3]


def test_strangers_are_refused_while_training_goes_on(ran):
    refused = (grpc.StatusCode.UNAUTHENTICATED, "no session for this token")
    assert ran.knocked["no token"] == ran.knocked["a wrong token"] == refused
    assert ran.knocked["plaintext"][0] is grpc.StatusCode.UNAVAILABLE


def test_a_client_that_is_killed_while_it_trains_by_itself_is_left_out(ran):
    assert trained_in(ran.fedgan) == [[0]]
    assert dropped_in(ran.fedgan) == [[3]]
    (dropped,) = read_metrics(ran.fedgan.folder)[0]["drop_outs"]
    assert dropped["reason"].startswith(f"SuperNode {ran.deployment.node_ids[3]}: ")
    assert (dropped["step"], dropped["exchange"]) == (None, None)
