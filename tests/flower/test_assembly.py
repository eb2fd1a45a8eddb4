import json
import logging
import re
from unittest.mock import patch

import pytest
from flwr.app import Message, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.cuts import load_devices
from huscf_flwr.deployment import make_server_credentials
from huscf_flwr.flower import assembly
from huscf_flwr.flower.assembly import Assembly, AssemblyError, assemble, with_descriptions
from huscf_flwr.flower.client_keys import ClientKeyError, keys_of_nodes, write_client_keys
from huscf_flwr.flower.messages import DESCRIBE, Arrival, DescribeReply, DescribeRequest, Invitation
from huscf_flwr.flower.owner import root_certificates_of
from huscf_flwr.methods import method_named
from huscf_flwr.methods.contract import Description
from huscf_flwr.session.wire import ExecutorServer, Rendezvous, arrive
from tests.flower.in_process_grid import InProcessGrid
from tests.run.builders import small_run

DEVICE = load_devices("paper").devices[0]


@pytest.fixture
def server():
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()


@pytest.fixture
def secure(tmp_path):
    """Assembles SuperNodes, given as client by node id, around an executor with TLS."""
    credentials = make_server_credentials(tmp_path / "credentials", ["127.0.0.1"])
    files = {"certificate": credentials.certificate, "key": credentials.key}
    server = ExecutorServer("127.0.0.1:0", **files)
    settings = {f"executor.{name}": path for name, path in files.items()}

    def assembled_securely(clients, **more):
        trusted = {"root-certificates": str(credentials.authority)}
        nodes = {node: {"client-id": client, **trusted} for node, client in clients.items()}
        return assembled(server, tmp_path, nodes, **settings, **more)

    yield assembled_securely
    server.stop()


def fingerprint_of(node):
    return keys_of_nodes(InProcessGrid({node: {}}, {}))[node]


METHOD = method_named("huscf")
"""As far as the assembly knows: its descriptions are those of most methods."""


def handle(message, context):
    """A SuperNode that says what its node config tells it to say, and fails where that tells it to fail."""
    node = context.node_config
    stage = "describe" if message.metadata.message_type == DESCRIBE else "join"
    if node.get("fails-at") == stage:
        raise OSError(f"cannot {stage}")
    content = described(message.content, node) if stage == "describe" else joined(message.content, context)
    return Message(RecordDict() if node.get("says-nothing-at") == stage else content, reply_to=message)


def described(content, node):
    clients = json.loads(node.get("describes", "null")) or DescribeRequest.from_records(content).clients
    known = {client: Description(samples=10 + client, device=DEVICE) for client in clients}
    records = DescribeReply(known).to_records(METHOD)
    for record in records.values():
        record.update(json.loads(node.get("says", "{}")))
    return records


def joined(content, context):
    invitation = Invitation.from_records(content)
    node = context.node_config
    admitted = invitation.address is None or (
        not node.get("late")
        and arrive(
            *(invitation.address, invitation.token, str(context.node_id), 30.0),
            root_certificates_of(context),
        )
    )
    return Arrival(admitted=admitted, client=node.get("client-id")).to_records()


def assembled(server, tmp_path, nodes, at_once=None, kind=METHOD, **settings):
    """The window closes when all have come that ever will, and not by the clock."""
    config = small_run(tmp_path, tmp_path, **{"executor.window": 29, **settings})
    coming = [node for node in nodes.values() if not node.get("late") and node.get("fails-at") != "join"]
    expected = min(len(coming), at_once or len(coming))
    grid = InProcessGrid(nodes, {}, app=handle, at_once=at_once)
    with patch.object(assembly, "Rendezvous", lambda _, window: Rendezvous(expected, window)):
        try:
            gathered = assemble(config, kind, grid, server)
            return with_descriptions(gathered, kind, grid, config.min_hosts)
        finally:
            grid.close()


def test_virtual_clients_are_spread_over_the_hosts(server, tmp_path):
    found = assembled(server, tmp_path, {21: {}, 22: {}}, clients=5)
    assert sorted(map(sorted, found.clients.values())) == [[0, 2, 4], [1, 3]]
    assert set(found.clients) == {21, 22}
    assert found.owners == frozenset()
    assert list(found.descriptions) == [0, 1, 2, 3, 4]
    assert [each.samples for each in found.descriptions.values()] == [10, 11, 12, 13, 14]


def test_without_a_rendezvous_supernodes_may_queue_and_all_take_part(tmp_path):
    """One worker for three SuperNodes: nobody waits for anybody, and nobody is late."""
    nodes = {21: {}, 22: {"client-id": 3, "late": True}, 23: {}}
    found = assembled(None, tmp_path, nodes, at_once=1, clients=5)
    assert found.clients == {22: (3,), 21: (0, 2), 23: (1, 4)}
    assert found.owners == {22}
    assert list(found.descriptions) == [0, 1, 2, 3, 4]


def test_owners_have_their_client_and_hosts_the_others(server, tmp_path):
    found = assembled(server, tmp_path, {21: {"client-id": 3}, 22: {}, 23: {"client-id": 1}}, clients=5)
    assert found.clients == {23: (1,), 21: (3,), 22: (0, 2, 4)}
    assert found.owners == {21, 23}


def test_owners_alone_are_all_there_is(server, tmp_path):
    found = assembled(server, tmp_path, {21: {"client-id": 7}, 22: {"client-id": 2}}, clients=5)
    assert found.clients == {22: (2,), 21: (7,)}


def test_images_are_not_pooled_where_supernodes_own_some(tmp_path):
    """Found out before anybody is asked to describe its clients."""
    nodes = {21: {"client-id": 1, "fails-at": "describe"}, 22: {"fails-at": "describe"}}
    with pytest.raises(AssemblyError, match=r"central trains on the pooled images.*own the clients 1;"):
        assembled(None, tmp_path, nodes, kind=method_named("central"), method="central")


def test_images_are_not_set_aside_for_validation_where_supernodes_own_some(server, tmp_path):
    settings = {"data.judged_on": "validation"}
    assembled(server, tmp_path, {21: {}}, **settings)
    nodes = {21: {"client-id": 1, "fails-at": "describe"}, 22: {"fails-at": "describe"}}
    with pytest.raises(AssemblyError, match=r"judged_on: validation.* own the clients 1; take test"):
        assembled(server, tmp_path, nodes, **settings)


def test_inceptions_weights_are_of_no_use_where_supernodes_judge(server, tmp_path):
    settings = {"evaluation.inception": tmp_path / "weights.safetensors"}
    assembled(server, tmp_path, {21: {}}, **settings)
    nodes = {21: {"client-id": 1, "fails-at": "describe"}, 22: {"fails-at": "describe"}}
    with pytest.raises(AssemblyError, match=r"evaluation\.inception: .* own the clients 1 .*leave it out"):
        assembled(server, tmp_path, nodes, **settings)


def test_two_owners_of_one_client_are_named(server, tmp_path):
    with pytest.raises(AssemblyError, match=r"2[12] and 2[12] both say that they own client 3.*client-id"):
        assembled(server, tmp_path, {21: {"client-id": 3}, 22: {"client-id": 3}})


def test_with_tls_clients_are_bound_to_keys_and_doubles_named_with_theirs(secure):
    found = secure({21: 3, 22: 2})
    assert found.keys == {3: fingerprint_of(21), 2: fingerprint_of(22)}
    key = r"\(key SHA256:[\w+/]{43}\)"
    with pytest.raises(AssemblyError, match=rf"21 {key} and 22 {key} both say that they own client 3"):
        secure({21: 3, 22: 3})


def test_a_resumed_run_knows_its_clients(secure, tmp_path):
    before = tmp_path / "before"
    write_client_keys(before, {3: fingerprint_of(21), 9: "of one that is gone"})
    found = secure({21: 3, 22: 2}, resume=before)
    assert found.keys == {3: fingerprint_of(21), 9: "of one that is gone", 2: fingerprint_of(22)}
    with pytest.raises(ClientKeyError, match=r"SuperNode 22 .*client 3.*client-keys\.json"):
        secure({22: 3}, resume=before)


def test_without_tls_keys_last_no_longer_than_a_process_and_nothing_is_bound(server, tmp_path):
    assert assembled(server, tmp_path, {21: {"client-id": 3}}).keys == {}


def test_a_late_owner_is_named_and_nobody_else_gets_its_client(server, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found = assembled(server, tmp_path, {21: {"client-id": 0, "late": True}, 22: {}}, clients=4)
    assert found.clients == {22: (1, 2, 3)}
    assert "SuperNode 21, which owns client 0, came too late" in caplog.text


def test_hosts_that_cannot_run_beside_the_others_are_left_out_and_the_setting_is_told(
    server, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        found = assembled(server, tmp_path, {21: {"late": True}, 22: {}, 23: {"late": True}}, clients=4)
    assert found.clients == {22: (0, 1, 2, 3)}
    assert "1 of 3 SuperNodes can run at the same time" in caplog.text
    assert "num-supernodes=3 client-resources-num-cpus=1 init-args-num-cpus=3" in caplog.text


def test_who_does_not_come_is_named_and_the_others_go_on(server, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found = assembled(server, tmp_path, {21: {"fails-at": "join"}, 22: {}}, clients=4)
    assert set(found.clients) == {22}
    assert "SuperNode 21 failed: OSError: cannot join" in caplog.text
    assert "SuperNode 21 did not join" in caplog.text


def test_who_says_nothing_of_its_arrival_has_not_come(server, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found = assembled(server, tmp_path, {21: {"says-nothing-at": "join"}, 22: {}}, clients=4)
    assert set(found.clients) == {22}
    assert "SuperNode 21 sent a reply that cannot be read (CrossingError" in caplog.text


def test_a_host_that_cannot_describe_its_clients_ends_the_run(server, tmp_path, caplog):
    with pytest.raises(AssemblyError, match=r"SuperNode 21 described its clients with an error, .* above"):
        assembled(server, tmp_path, {21: {"fails-at": "describe"}, 22: {}})
    assert "SuperNode 21 failed: OSError: cannot describe" in caplog.text


def test_a_host_that_describes_others_clients_ends_the_run(server, tmp_path):
    with pytest.raises(AssemblyError, match=r"SuperNode 21 described its clients with .* clients \[9\], not"):
        assembled(server, tmp_path, {21: {"describes": "[9]"}, 22: {}})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"fails-at": "describe"}, "an error, which is logged above"),
        ({"describes": "[2, 3]"}, r"a reply for clients \[2, 3\], not \[2\]"),
        ({"describes": "[3]"}, r"a reply for clients \[3\], not \[2\]"),
        ({"says": '{"samples": 0}'}, ".*samples: Input should be greater than 0"),
        ({"says": '{"samples": -5}'}, ".*samples: Input should be greater than 0"),
        ({"says": '{"samples": "many"}'}, ".*samples: Input should be a valid integer"),
        ({"says": '{"labels": [1, 2]}'}, ".*labels: Extra inputs are not permitted"),
    ],
)
def test_an_owner_that_does_not_describe_its_client_as_one_that_can_train_is_left_out(
    server, tmp_path, caplog, node, message
):
    nodes = {21: {"client-id": 2, **node}, 22: {}}
    found = assembled(server, tmp_path, nodes, clients=4)
    assert found.clients == {22: (0, 1, 3)}
    assert list(found.descriptions) == [0, 1, 3]
    assert re.search(f"SuperNode 21 described its clients with {message}.*: it is left out", caplog.text)
    with pytest.raises(AssemblyError, match="min_hosts: 2, but 1 SuperNodes can take part"):
        assembled(server, tmp_path, nodes, clients=4, min_hosts=2)


@pytest.mark.parametrize(
    ("nodes", "settings", "message"),
    [
        ({21: {"late": True}}, {}, "no SuperNode joined"),
        ({21: {}, 22: {"late": True}}, {"min_hosts": 2}, "min_hosts: 2, but 1 SuperNodes can take part"),
    ],
)
def test_a_run_that_cannot_start_says_why(server, tmp_path, nodes, settings, message):
    with pytest.raises((AssemblyError, ValueError), match=message):
        assembled(server, tmp_path, nodes, **settings)


def test_a_supernode_for_which_no_client_is_left_is_named_and_the_others_go_on(server, tmp_path, caplog):
    found = assembled(server, tmp_path, {21: {}, 22: {}, 23: {}}, clients=2)
    assert found.clients == {21: (0,), 22: (1,)}
    assert "SuperNode 23 has no client: only 2 are to be hosted" in caplog.text


def test_a_supernode_without_a_client_beside_owners_of_all_is_left_out(server, tmp_path, caplog):
    found = assembled(server, tmp_path, {21: {"client-id": 0}, 22: {}, 23: {"client-id": 1}}, clients=2)
    assert found.clients == {21: (0,), 23: (1,)}
    assert "SuperNode 22 has no client" in caplog.text


def test_too_few_connected_supernodes_are_waited_for_and_then_named(server, tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "NODES_SECONDS", 0.0)
    with pytest.raises(AssemblyError, match=r"min_hosts: 3, but only 1 SuperNodes are connected.*start more"):
        assembled(server, tmp_path, {21: {}}, min_hosts=3)


MIXED = Assembly({11: (5,), 12: (0, 2, 4), 13: (1, 3), 14: (6,)}, frozenset({11, 14}), {})


def test_a_round_with_everybody_is_as_it_was_assembled():
    assert MIXED.placement([]) == MIXED.clients
    assert list(MIXED.placement([])) == list(MIXED.clients)


def test_a_lost_hosts_clients_move_to_the_others():
    assert MIXED.placement([12]) == {11: (5,), 13: (0, 1, 2, 3, 4), 14: (6,)}


def test_a_lost_owners_client_stays_away():
    assert MIXED.placement([11]) == {12: (0, 2, 4), 13: (1, 3), 14: (6,)}


def test_where_all_hosts_are_lost_all_are_tried_again():
    assert MIXED.placement([12, 13, 14]) == {11: (5,), 12: (0, 2, 4), 13: (1, 3)}


def test_owners_alone_may_be_lost():
    owners = Assembly({11: (0,), 12: (1,)}, frozenset({11, 12}), {})
    assert owners.placement([12]) == {11: (0,)}
    assert owners.placement([11, 12]) == {}


def test_only_those_that_are_chosen_take_part_and_nobody_else_hears_of_it():
    assert MIXED.placement([], [1, 2, 5]) == {11: (5,), 12: (1,), 13: (2,)}
    assert MIXED.placement([], [2]) == {12: (2,)}
    assert MIXED.placement([], [6]) == {14: (6,)}
    assert MIXED.placement([], []) == {}


def test_a_chosen_client_of_a_lost_host_moves_and_of_a_lost_owner_stays_away():
    assert MIXED.placement([12], [0, 2]) == {13: (0, 2)}
    assert MIXED.placement([11, 13], [1, 5]) == {12: (1,)}


def test_all_that_is_not_lost_is_available():
    assert MIXED.available([]) == (0, 1, 2, 3, 4, 5, 6)
    assert MIXED.available([12]) == (0, 1, 2, 3, 4, 5, 6)
    assert MIXED.available([11, 12]) == (0, 1, 2, 3, 4, 6)


@given(
    lost=st.sets(st.sampled_from(sorted(MIXED.clients))),
    chosen=st.none() | st.sets(st.sampled_from(range(7))),
)
def test_a_placement_is_of_those_that_are_available_and_chosen_each_once(lost, chosen):
    placed = MIXED.placement(lost, chosen)
    everybody = [client for clients in placed.values() for client in clients]
    there = MIXED.available(lost)
    assert sorted(everybody) == [client for client in there if chosen is None or client in chosen]
    assert all(placed.values())
    assert list(placed) == [node for node in MIXED.clients if node in placed]
    assert all(placed[node] == MIXED.clients[node] for node in placed.keys() & MIXED.owners)
    loads = [len(clients) for node, clients in placed.items() if node not in MIXED.owners]
    assert max(loads, default=0) - min(loads, default=0) <= 1
