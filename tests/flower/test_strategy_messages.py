"""What whole runs put into Flower's messages, up and down: the closed list, groups, tokens and bytes."""

import pytest
from flwr.app import ArrayRecord

from huscf_flwr.flower.session_grid import SessionGrid
from huscf_flwr.methods import method_named
from huscf_flwr.run.run_folder import read_metrics
from tests.flower.closed_list import unlisted
from tests.flower.grid_runs import METHODS, contents, hosts, owners, run
from tests.run.builders import DOMAINS, UNJUDGED, small_run, write_domains


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


class Ran:
    """A run that is over: how it was configured, and the grid with all its messages."""

    def __init__(self, method, config, nodes):
        self.method, self.config, self.grid = method, config, run(config, nodes)


@pytest.fixture(scope="module", params=METHODS)
def simulated(request, images, tmp_path_factory):
    """Two rounds on two hosts."""
    place = tmp_path_factory.mktemp("simulated")
    clusters = {"huscf.clusters": 2} if request.param == "huscf" else {}
    config = small_run(images, place, method=request.param, **UNJUDGED, **clusters)
    return Ran(request.param, config, hosts(2))


@pytest.fixture(scope="module", params=METHODS)
def owned(request, images, tmp_path_factory):
    """Two owners, who judge at the end, and a host of virtual clients."""
    place = tmp_path_factory.mktemp("owned")
    config = small_run(images, place, method=request.param, rounds=1)
    return Ran(request.param, config, {**owners(images, place), **hosts(1)})


def assert_nothing_private(ran, direction, message_types):
    """Every record and key is listed, and no text names a domain or anything of the data."""
    messages = ran.grid.sent if direction == "down" else ran.grid.received
    assert {message.metadata.message_type for message in messages} == message_types
    for message in messages:
        assert unlisted(message.content, message.metadata.message_type, direction, ran.method) == []
        for record in message.content.values():
            values = () if isinstance(record, ArrayRecord) else record.values()
            words = [value for value in values if isinstance(value, str)]
            assert not any(name in word for word in words for name in (*DOMAINS, "idx", "/"))


TYPES = {"query.join", "query.describe", "train"}


@pytest.mark.parametrize("direction", ["down", "up"])
def test_nothing_private_is_in_the_messages_of_a_simulation(simulated, direction):
    assert_nothing_private(simulated, direction, TYPES)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_nothing_private_is_in_the_messages_of_owners(owned, direction):
    assert_nothing_private(owned, direction, TYPES | {"evaluate"})


def test_arrays_up_are_the_blocks_that_a_client_keeps(simulated):
    """Of lock-step clients those of their cut, of others all."""
    cuts = {
        client["id"]: client.get("cut") for client in read_metrics(simulated.config.folder)[-1]["clients"]
    }
    for reply in contents(simulated.grid, "train", "up"):
        for name, record in reply.array_records.items():
            blocks = {tuple(key.split(".")[:2]) for key in record}
            cut = cuts[int(name.split("/")[1])]
            assert len(blocks) == (10 if cut is None else sum(cut))


def test_what_several_clients_are_told_goes_down_once_to_each_host(simulated):
    requests = contents(simulated.grid, "train")
    assert len(requests) == 2 * 2
    (kind,) = method_named(simulated.method).crossing.upload_kinds
    for request in requests:
        told = {
            group
            for name, record in request.config_records.items()
            if name.startswith("groups/")
            for group in record["names"]
        }
        assert told
        assert set(request.array_records) == {f"group/{group}/{kind}" for group in told}


def test_tokens_are_fresh_in_every_round_and_for_every_host(images, tmp_path):
    grid = run(small_run(images, tmp_path, **UNJUDGED), hosts(2))
    requests = contents(grid, "train")
    assert len({request["stream"]["token"] for request in requests}) == len(requests) == 4
    assert {request["round"]["neighbours"] for request in requests} == {2}


@pytest.mark.parametrize("method", METHODS)
def test_messages_live_as_long_as_a_round_may_take_and_late_replies_are_still_collected(
    images, tmp_path, monkeypatch, method
):
    waited, send = [], SessionGrid.send_and_receive

    def watched(grid, messages, *, timeout=None):
        waited.append(timeout)
        return send(grid, messages, timeout=timeout)

    monkeypatch.setattr(SessionGrid, "send_and_receive", watched)
    config = small_run(images, tmp_path, method=method, rounds=1, clients=2, round_seconds=90.0, **UNJUDGED)
    sent = run(config, owners(images, tmp_path)).sent
    types = [message.metadata.message_type for message in sent if message.metadata.ttl == 90.0]
    assert types == ["train", "train", "evaluate", "evaluate"]
    assert len(waited) == 2
    assert min(waited) > 90.0


def test_the_ledger_counts_tensors_as_they_cross(simulated):
    crossing = method_named(simulated.method).crossing
    lines = read_metrics(simulated.config.folder)
    for direction, kinds in (("down", crossing.order_kinds), ("up", crossing.upload_kinds)):
        counted = sum(line["bytes"][direction].get(kind, 0) for line in lines for kind in kinds)
        assert counted == sum(
            array.numpy().nbytes
            for content in contents(simulated.grid, "train", direction)
            for record in content.array_records.values()
            for array in record.values()
        )
