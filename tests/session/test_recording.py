"""On a GPU a step changes every tensor as it does on the CPU, as written, recorded, and replayed."""

import pytest
import torch

from huscf_flwr.models import legal_cuts
from huscf_flwr.session import DropOut, LocalChannel, WireType, run_steps
from huscf_flwr.session.recording import side_by_side
from huscf_flwr.session.wire import ExecutorServer, GrpcChannel
from huscf_flwr.split import DISCRIMINATE, EXCHANGES, HostedClient
from tests.models.specs import small_specs
from tests.session.threads import errors_of
from tests.split.builders import build, open_session, random_batch

SPECS = small_specs()
GPU = torch.device("cuda", 0)
SIZES = (4, 4, 4, 3, 4, 3, 3, 4)
"""Batches of two sizes, each of which is run as it is written, recorded, and replayed."""

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(autouse=True)
def plain_float32():
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def cuts_of(spec, count=3):
    legal = legal_cuts(spec)
    return {client: legal[5 * client % len(legal)] for client in range(count)}


def hosted(clients, sizes=SIZES, dtype=torch.float64):
    def member(client):
        numbers = iter(range(len(sizes)))

        def next_batch():
            number = next(numbers)
            return random_batch(client.spec, sizes[number], 100 * number + client.client, dtype)

        return HostedClient(client, next_batch)

    return [member(client) for client in clients]


def everything(executor, clients):
    """All states and moments by owner and name, on the CPU."""
    found = {}
    for owner, segments in [("server", executor.segments), *((c.client, c.segments) for c in clients)]:
        for key, state in segments.states().items():
            found |= {(owner, *key, name): tensor.clone() for name, tensor in state.items()}
        found |= {(owner, name): tensor.clone() for name, tensor in segments.moments().items()}
    return found


def differing(first, second, tolerance=1e-7):
    """The tensors that differ, by name. Rounding grows over steps, but a gradient that is wrong once moves
    a weight by 1e-4."""
    assert first.keys() == second.keys()
    differences = {name: float((first[name].double() - second[name].double()).abs().max()) for name in first}
    return {name: difference for name, difference in differences.items() if not difference < tolerance}


def trained(spec, device, executor_device=None, hosts=None, sizes=SIZES, clients=3, wire=None):
    """Train all steps over local channels; return all tensors, and what each host was told."""
    cuts = cuts_of(spec, clients)
    executor, members = build(spec, cuts, device=device, executor_device=executor_device)
    hosts = hosts or [list(cuts)]
    session = open_session(executor, hosts, steps=len(sizes), wire=wire)
    told = {}

    def run(host):
        mine = [member for member in hosted(members, sizes) if member.client.client in hosts[host]]
        told[host] = run_steps(mine, LocalChannel(session, host), len(sizes))

    errors = errors_of(*(lambda host=host: run(host) for host in range(len(hosts))))
    assert [error for error in errors if error is not None] == []
    return everything(executor, members), told


def test_on_the_cpu_nothing_is_recorded():
    _, clients = build(SPECS["three-blocks"], cuts_of(SPECS["three-blocks"]))
    with side_by_side(torch.device("cpu")):
        step = clients[0].hosted_step(random_batch(SPECS["three-blocks"], 2, 1))
        assert next(step).frame[0].device.type == "cpu"


@needs_gpu
@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_tensor_is_that_of_the_cpu(name):
    expected, on_cpu = trained(SPECS[name], torch.device("cpu"))
    found, on_gpu = trained(SPECS[name], GPU)
    assert differing(expected, found) == {}
    for client, losses in on_cpu[0].losses.items():
        assert on_gpu[0].losses[client].generator == pytest.approx(losses.generator, abs=1e-7)
        assert on_gpu[0].losses[client].discriminator == pytest.approx(losses.discriminator, abs=1e-7)


@needs_gpu
def test_the_number_of_hosts_changes_nothing():
    spec = SPECS["authors-28"]
    one, _ = trained(spec, GPU, clients=4)
    two, _ = trained(spec, GPU, clients=4, hosts=[[0, 2], [1, 3]])
    assert differing(one, two) == {}


@needs_gpu
def test_more_clients_than_lanes():
    spec = SPECS["authors-28"]
    expected, _ = trained(spec, torch.device("cpu"), clients=20, sizes=(4,) * 5)
    found, _ = trained(spec, GPU, clients=20, sizes=(4,) * 5)
    assert differing(expected, found) == {}


@needs_gpu
@pytest.mark.parametrize(
    ("clients_on", "executor_on"), [(GPU, torch.device("cpu")), (torch.device("cpu"), GPU)]
)
def test_executor_and_clients_may_be_on_different_devices(clients_on, executor_on):
    spec = SPECS["authors-28"]
    expected, _ = trained(spec, torch.device("cpu"))
    found, _ = trained(spec, clients_on, executor_on)
    assert differing(expected, found) == {}


@needs_gpu
@pytest.mark.parametrize("share_memory", [False, True])
def test_over_the_network(share_memory):
    spec = SPECS["authors-28"]
    expected, _ = trained(spec, torch.device("cpu"))
    cuts = cuts_of(spec)
    executor, members = build(spec, cuts, device=GPU)
    session = open_session(executor, [list(cuts)], steps=len(SIZES), largest_batch=max(SIZES))
    server = ExecutorServer("127.0.0.1:0")
    (token,) = server.open_session(session, share_memory=[0] if share_memory else [])
    with GrpcChannel(server.address, token, share_memory=share_memory, exchanges=EXCHANGES) as channel:
        run_steps(hosted(members), channel, len(SIZES))
    server.stop()
    assert differing(expected, everything(executor, members)) == {}


@needs_gpu
def test_wire_types_round_alike():
    wire = WireType(torch.float16, torch.float64)
    spec = SPECS["three-blocks"]
    expected, _ = trained(spec, torch.device("cpu"), sizes=(3,), wire=wire)
    found, _ = trained(spec, GPU, sizes=(3,), wire=wire)
    # A number on the border between two of float16 may go either way.
    assert differing(expected, found, 1e-3) == {}


@needs_gpu
@pytest.mark.parametrize("step", range(4))
def test_a_client_drops_out_of_any_step_and_the_others_go_on(step):
    spec = SPECS["authors-28"]
    executor, members = build(spec, cuts_of(spec), device=GPU)
    session = open_session(executor, [[0, 1, 2]], steps=6)

    class Poisoned(LocalChannel):
        def receive(self, exchange):
            client, answer = super().receive(exchange)
            if client == 1 and session.finished_steps == step and exchange is DISCRIMINATE:
                answer = tuple(torch.full_like(tensor, float("nan")) for tensor in answer)
            return client, answer

    result = run_steps(hosted(members, (4,) * 6), Poisoned(session), 6)
    assert result.drop_outs == {1: DropOut("client 1: the discriminator's loss is nan")}
    assert session.finished
    assert set(result.losses) == {0, 2}
    assert all(tensor.isfinite().all() for tensor in everything(executor, [members[0], members[2]]).values())


@needs_gpu
def test_moments_that_are_loaded_are_those_that_a_recording_goes_on_with():
    spec = SPECS["three-blocks"]

    def go_on(device):
        executor, members = build(spec, cuts_of(spec), device=device)
        first = open_session(executor, [[0, 1, 2]], steps=4)
        run_steps(hosted(members, (3,) * 4), LocalChannel(first), 4)
        for member in members:
            member.segments.load_moments({k: t.clone() * 2 for k, t in member.segments.moments().items()})
        second = open_session(executor, [[0, 1, 2]], steps=2)
        run_steps(hosted(members, (3,) * 2), LocalChannel(second), 2)
        return everything(executor, members)

    assert differing(go_on(torch.device("cpu")), go_on(GPU)) == {}


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_near(dtype):
    spec = SPECS["authors-28"]
    losses = {}
    for device in (torch.device("cpu"), GPU):
        executor, members = build(spec, cuts_of(spec), dtype=dtype, device=device)
        session = open_session(executor, [[0, 1, 2]], steps=5)
        batches = hosted(members, (8,) * 5, torch.float32)
        losses[device.type] = run_steps(batches, LocalChannel(session), 5).losses
    tolerance = 1e-3 if dtype is torch.float32 else 5e-2
    for client, expected in losses["cpu"].items():
        assert losses["cuda"][client].generator == pytest.approx(expected.generator, rel=tolerance)
        assert losses["cuda"][client].discriminator == pytest.approx(expected.discriminator, rel=tolerance)
