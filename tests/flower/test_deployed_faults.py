"""A deployment in which SuperNodes are killed and strangers knock, while the others train on.

Five clients, three rounds. In round 2 client 0 is killed before the first step, client 1 during a step, and
client 2 after the last, before its reply is there. Client 0 is started again, and takes part in round 3.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from huscf_flwr.background_process import ProcessTree, background_process, free_ports
from huscf_flwr.deployment import deploy, deployed_config
from huscf_flwr.flower.launch import flower_environment, run_on
from huscf_flwr.run.run_folder import read_metrics, read_progress, read_summary
from huscf_flwr.session.wire import StreamClaim
from huscf_flwr.session.wire import split_session_pb2_grpc as services
from huscf_flwr.session.wire.endpoint import open_channel
from huscf_flwr.session.wire.server import CHANNEL_OPTIONS
from tests.run.builders import SilentDisplay, small_run, write_domains

APP = Path(__file__).resolve().parents[2]
PATIENCE = 240.0

pytestmark = pytest.mark.slow


def wait_for(happened):
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "what the test waits for does not happen"
        time.sleep(0.01)


def kill(node):
    """As if the device lost its power: no process of it says goodbye."""
    os.killpg(node.process.pid, signal.SIGKILL)


def started_again(node, stack):
    """Start a SuperNode that was killed, as often as it takes; return what it says once it is let in.

    Flower lets a key in again when the heartbeats of the process that had it before are missed.
    """
    log = node.log.with_name("again.log")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        tree = ProcessTree(flower_environment(node.log.parent))
        process = stack.enter_context(background_process(node.process.args, tree, log))
        while process.poll() is None:
            if "SuperNode ID" in log.read_text():
                return log.read_text()
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def stream(address, token, roots):
    """How the executor ends a stream with this token."""
    claim = StreamClaim(round=2, attempt=1, clients=(3,))
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


def make_trouble(config, deployment, executor, stack):
    """Follow the run; return how strangers fared, and what the SuperNode that came back says."""

    def reached(number, step):
        progress = read_progress(config.folder)
        return progress is not None and (progress["round"], progress["step"]) >= (number, step)

    nodes = deployment.supernodes
    wait_for(lambda: config.folder.is_dir() and len(read_metrics(config.folder)) == 1)
    kill(nodes[0])
    wait_for(lambda: reached(2, 1))
    kill(nodes[1])
    fared = knock(executor, deployment.credentials.authority.read_bytes())
    going_on = not reached(2, read_progress(config.folder)["steps"])
    wait_for(lambda: reached(2, read_progress(config.folder)["steps"]))
    kill(nodes[2])
    return fared, going_on, started_again(nodes[0], stack)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    images = write_domains(tmp_path_factory.mktemp("images"))
    (port,) = free_ports(1)
    settings = {
        "executor.bind": f"127.0.0.1:{port}",
        "executor.timeout": PATIENCE,
        "executor.least_deadline": 10,
        "clients": 5,
        "rounds": 3,
        "local_epochs": 12,
        "evaluation.every": 0,
    }
    config = small_run(images, tmp_path_factory.mktemp("faults"), name="faults", **settings)
    display = SilentDisplay()
    with deploy(config) as deployment, ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        trouble = pool.submit(make_trouble, config, deployment, f"127.0.0.1:{port}", stack)
        ended = run_on(deployment.superlink, deployed_config(config, deployment.credentials), APP, display)
        fared, going_on, log = trouble.result()
    ended.summary(display)
    return config, deployment, display, fared, going_on, log


def drop_outs(line):
    return {dropped["id"]: dropped for dropped in line["drop_outs"]}


def trained(line):
    return [client["id"] for client in line["clients"]]


def test_the_run_finishes_without_those_that_were_killed(troubled):
    config, *_ = troubled
    first, second, third = read_metrics(config.folder)
    assert trained(first) == [0, 1, 2, 3, 4]
    assert trained(second) == [3, 4]
    assert {3, 4} <= set(trained(third))
    assert read_summary(config.folder)["rounds"] == 3


def test_it_is_told_when_and_why_each_dropped_out(troubled):
    config, deployment, display, *_ = troubled
    line = read_metrics(config.folder)[1]
    before, during, after = (drop_outs(line)[client] for client in range(3))
    assert (before["step"], before["exchange"]) == (1, "GENERATE")
    # Whichever comes first: its time is over, or Flower has missed its heartbeats.
    too_late = f"did not come to GENERATE within {PATIENCE:.3g} s"
    assert too_late in before["reason"] or "heartbeat" in before["reason"]
    assert 1 < during["step"] <= line["steps"]
    assert f"left after {during['step'] - 1} steps" in during["reason"]
    assert after["step"] == line["steps"] + 1
    assert after["reason"].startswith(f"SuperNode {deployment.node_ids[2]}: ")
    assert display.rounds[1]["drop_outs"] == line["drop_outs"]


def test_a_client_whose_supernode_is_started_again_takes_part_again(troubled):
    config, deployment, *_, log = troubled
    assert f"SuperNode ID: {deployment.node_ids[0]}" in log
    assert 0 in trained(read_metrics(config.folder)[2])


def test_strangers_are_refused_while_training_goes_on(troubled):
    *_, fared, going_on, _ = troubled
    assert going_on
    refused = (grpc.StatusCode.UNAUTHENTICATED, "no session for this token")
    assert fared["no token"] == fared["a wrong token"] == refused
    assert fared["plaintext"][0] is grpc.StatusCode.UNAVAILABLE
