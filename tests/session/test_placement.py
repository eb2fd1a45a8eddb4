"""Where clients live does not change what they learn."""

import threading

import pytest
import torch

from huscf_flwr.models import legal_cuts, weight_dtype
from huscf_flwr.session import Ledger, LocalChannel, WireType, run_steps, wire_type
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.split import EXCHANGES, HostedClient
from tests.models.specs import small_specs
from tests.quick import mostly_slow
from tests.split.builders import build, open_session, random_batch

SPEC = small_specs()["authors-28"]
CUTS = dict(enumerate([legal_cuts(SPEC)[place] for place in (0, 5, 10, 15)]))
STEPS = 3
HOSTS = [[[0, 1, 2, 3]], [[3, 1, 0, 2]], [[0, 1], [2, 3]], [[2, 0, 3], [1]], [[3], [1], [0], [2]]]
"""Clients by host."""


def train(hosts, channel, dtype=torch.float64, wire=None):
    """Train three steps with the clients spread over ``hosts`` and return all weights and the ledger."""
    sharing = channel == "shared-memory"
    executor, clients = build(SPEC, CUTS, dtype=dtype)
    ledger = Ledger()
    session = open_session(executor, hosts, steps=STEPS, ledger=ledger, wire=wire, largest_batch=5)
    server = ExecutorServer("127.0.0.1:0") if channel != "local" else None
    shared = range(len(hosts)) if sharing else ()
    tokens = server.open_session(session, share_memory=shared) if server else None
    images = weight_dtype(dtype)
    failures = []

    def run(host):
        batches = {
            k: iter([random_batch(SPEC, 2 + k, 100 * k + step, images) for step in range(STEPS)])
            for k in hosts[host]
        }
        hosted = [HostedClient(clients[k], lambda k=k: next(batches[k])) for k in hosts[host]]
        try:
            if server:
                address, token = server.address, tokens[host]
                with GrpcChannel(
                    address, token, wire=wire, share_memory=sharing, exchanges=EXCHANGES
                ) as stream:
                    run_steps(hosted, stream, STEPS)
            else:
                run_steps(hosted, LocalChannel(session, host), STEPS)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(host,)) for host in range(len(hosts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if server:
        server.stop()
    assert failures == []
    assert session.finished_steps == STEPS
    weights = {}
    for owner, segments in [("server", executor.segments), *((c.client, c.segments) for c in clients)]:
        for key, state in segments.states().items():
            weights.update({(owner, key, name): tensor.clone() for name, tensor in state.items()})
    return weights, ledger


@pytest.fixture(scope="module")
def reference():
    return train([[0, 1, 2, 3]], "local")


@pytest.mark.parametrize("channel", ["local", "grpc", "shared-memory"])
@pytest.mark.parametrize("hosts", mostly_slow(HOSTS, [[2, 0, 3], [1]], [[3], [1], [0], [2]]))
def test_the_same_weights_to_the_bit_on_any_hosts_and_channel(reference, hosts, channel):
    weights, ledger = train(hosts, channel)
    for name, tensor in reference[0].items():
        assert torch.equal(weights[name], tensor), name
    assert ledger.entries == reference[1].entries


@pytest.mark.parametrize("channel", mostly_slow(["local", "grpc", "shared-memory"], "shared-memory"))
def test_in_float32_two_runs_are_the_same_to_the_bit(channel):
    first, second = (train([[2, 0], [1, 3]], channel, torch.float32)[0] for _ in range(2))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_a_narrower_wire_rounds_alike_on_every_channel_and_is_counted(reference):
    wire = WireType(torch.float16, torch.float64)
    local, local_ledger = train([[0, 1], [2, 3]], "local", wire=wire)
    remote, ledger = train([[3, 1], [0, 2]], "grpc", wire=wire)
    for name, tensor in local.items():
        assert torch.allclose(remote[name].double(), tensor.double(), rtol=0, atol=1e-9), name
    assert any(not torch.equal(tensor, reference[0][name]) for name, tensor in local.items())
    assert ledger.entries == local_ledger.entries
    assert {key: 4 * count for key, count in ledger.entries.items()} == reference[1].entries


@pytest.mark.parametrize("preset", ["small", "smallest"])
def test_packed_numbers_are_the_same_to_the_bit_on_every_channel_and_any_hosts(reference, preset):
    wire = wire_type(preset, torch.float64, seed=3, round_number=2)
    local, local_ledger = train([[0, 1], [2, 3]], "local", wire=wire)
    for hosts, channel in (([[3, 1], [0, 2]], "grpc"), ([[2, 0, 3], [1]], "shared-memory")):
        remote, ledger = train(hosts, channel, wire=wire)
        for name, tensor in local.items():
            assert torch.equal(remote[name], tensor), name
        assert ledger.entries == local_ledger.entries
    assert any(not torch.equal(tensor, reference[0][name]) for name, tensor in local.items())
    # The networks are so small that many tensors do not fill a group, and cross as they are.
    assert local_ledger.total() < reference[1].total() / 9


def test_bfloat16_halves_the_traffic_of_float32_and_keeps_its_weights():
    weights, ledger = train([[0, 1], [2, 3]], "grpc", torch.bfloat16)
    wide_weights, wide_ledger = train([[0, 1], [2, 3]], "grpc", torch.float32)
    assert {name: t.dtype for name, t in weights.items()} == {n: t.dtype for n, t in wide_weights.items()}
    assert {key: 2 * count for key, count in ledger.entries.items()} == wide_ledger.entries
    assert all(tensor.isfinite().all() for tensor in weights.values())
