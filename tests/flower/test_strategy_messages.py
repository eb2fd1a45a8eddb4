"""What whole runs put into Flower's messages, up and down: the closed list, groups, tokens and bytes."""

import pytest
from flwr.app import ArrayRecord

from huscf_flwr.flower.session_grid import SessionGrid
from huscf_flwr.methods.contract import keeps_models
from huscf_flwr.run.run_folder import read_metrics
from tests.flower.closed_list import DECLARED, GROUPS
from tests.flower.grid_runs import EACH_WAY_ON_DEVICES, ON_DEVICES, contents, hosts, owners, run
from tests.flower.listed_messages import unlisted
from tests.run.builders import (
    DOMAINS,
    METHODS,
    SILENT_AT_FIRST,
    UNJUDGED,
    least_rounds,
    method_class,
    small_run,
)


class Ran:
    """A run that is over: how it was configured, and the grid with all its messages."""

    def __init__(self, name, config, nodes):
        self.name, self.method, self.config = name, method_class(name), config
        self.has_models = keeps_models(self.method.client)
        self.grid = run(config, nodes)


@pytest.fixture(scope="module", params=METHODS)
def simulated(request, images, tmp_path_factory):
    """Two rounds on two hosts."""
    place = tmp_path_factory.mktemp("simulated")
    clusters = {"huscf.clusters": 2} if request.param == "huscf" else {}
    config = small_run(images, place, **METHODS[request.param], **UNJUDGED, **clusters)
    return Ran(request.param, config, hosts(2))


@pytest.fixture(scope="module", params=ON_DEVICES)
def owned(request, images, tmp_path_factory):
    """Two owners, who judge at the end, and a host of virtual clients, which all hold images out."""
    place = tmp_path_factory.mktemp("owned")
    settings = METHODS[request.param]
    rounds = least_rounds(settings)
    config = small_run(images, place, rounds=rounds, **settings, **{"data.held_out": 0.2})
    return Ran(request.param, config, {**owners(images, place), **hosts(1)})


def assert_nothing_private(ran, direction, message_types):
    """Every record and key is listed, and no text names a domain or anything of the data."""
    messages = ran.grid.sent if direction == "down" else ran.grid.received
    assert {message.metadata.message_type for message in messages} == message_types
    for message in messages:
        assert unlisted(message.content, message.metadata.message_type, direction, ran.name) == []
        for record in message.content.values():
            values = () if isinstance(record, ArrayRecord) else record.values()
            words = [value for value in values if isinstance(value, str)]
            assert not any(name in word for word in words for name in (*DOMAINS, "idx", "/"))


TYPES = {"query.join", "query.describe", "train"}


@pytest.mark.parametrize("direction", ["down", "up"])
def test_nothing_private_is_in_the_messages_of_a_simulation(simulated, direction):
    types = TYPES | {"evaluate"} if simulated.has_models else TYPES
    assert_nothing_private(simulated, direction, types)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_nothing_private_is_in_the_messages_of_owners(owned, direction):
    types = TYPES | {"evaluate"} if owned.method.crossing.scores else TYPES
    assert_nothing_private(owned, direction, types)


@pytest.mark.parametrize("simulated", ["huscf", "fedgan", "central"], indirect=True)
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


@pytest.mark.parametrize("simulated", ["fedproto", "local", "local-classifier"], indirect=True)
def test_of_models_that_stay_on_clients_only_scores_come_back(simulated):
    replies = contents(simulated.grid, "evaluate", "up")
    assert len(replies) == 2
    for reply in replies:
        assert not reply.array_records
        assert {name.split("/")[0] for name in reply} == {"scores"}
    kinds = DECLARED[simulated.name]["evaluation kinds"]
    for request in contents(simulated.grid, "evaluate"):
        assert set(request.array_records) == {f"group/everybody/{kind}" for kind in kinds}


@pytest.mark.parametrize("simulated", sorted(GROUPS), indirect=True)
def test_what_several_clients_are_told_goes_down_once_to_each_host(simulated):
    """Methods that share what clients send have nothing to tell before their first round is over."""
    requests = contents(simulated.grid, "train")
    assert len(requests) == 2 * 2
    kinds = DECLARED[simulated.name]["order kinds"].keys() - {"blocks that change sides"}
    for request in requests:
        if METHODS[simulated.name]["method"] in SILENT_AT_FIRST and request["round"]["round"] == 1:
            assert not request.array_records
            continue
        told = {
            group
            for name, record in request.config_records.items()
            if name.startswith("groups/")
            for group in record["names"]
        }
        assert told
        sent = set(request.array_records)
        assert sent <= {f"group/{group}/{kind}" for group in told for kind in kinds}
        assert {name.rpartition("/")[0] for name in sent} == {f"group/{group}" for group in told}


def test_tokens_are_fresh_in_every_round_and_for_every_host(images, tmp_path):
    grid = run(small_run(images, tmp_path, **UNJUDGED), hosts(2))
    requests = contents(grid, "train")
    assert len({request["stream"]["token"] for request in requests}) == len(requests) == 4
    assert {request["round"]["neighbours"] for request in requests} == {2}


@pytest.mark.parametrize("method", [*EACH_WAY_ON_DEVICES, "huscf-private"])
def test_messages_live_as_long_as_a_round_may_take_and_late_replies_are_still_collected(
    images, tmp_path, monkeypatch, method
):
    """Whatever the method: here one of each way, and one that judges nothing."""
    waited, send = [], SessionGrid.send_and_receive

    def watched(grid, messages, *, timeout=None):
        waited.append(timeout)
        return send(grid, messages, timeout=timeout)

    monkeypatch.setattr(SessionGrid, "send_and_receive", watched)
    waits = {"round_seconds": 90.0, "evaluation.seconds": 80.0}
    rounds = least_rounds(METHODS[method])
    settings = {"rounds": rounds, "clients": 2, **waits, **METHODS[method], **UNJUDGED}
    config = small_run(images, tmp_path, **settings)
    sent = [message.metadata for message in run(config, owners(images, tmp_path)).sent]
    found = [(each.message_type, each.ttl) for each in sent if not each.message_type.startswith("query")]
    judged = 2 if method_class(method).crossing.scores else 0
    assert found == [("train", 90.0)] * 2 * rounds + [("evaluate", 80.0)] * judged
    assert len(waited) == 2 * rounds
    assert min(waited) > 90.0


def test_the_ledger_counts_tensors_as_they_cross(simulated):
    crossing = simulated.method.crossing
    lines = read_metrics(simulated.config.folder)
    for direction, kinds in (("down", crossing.order_kinds), ("up", crossing.upload_kinds)):
        counted = sum(line["bytes"][direction].get(kind, 0) for line in lines for kind in kinds)
        assert counted == sum(
            array.numpy().nbytes
            for content in contents(simulated.grid, "train", direction)
            for record in content.array_records.values()
            for array in record.values()
        )
