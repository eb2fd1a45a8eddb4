"""Runs with SuperNodes that own their clients' data: what they keep, how they judge, and runs that resume."""

import json

import pytest
from safetensors.torch import load_file

import client_apps
from huscf_flwr.deployment import make_server_credentials
from huscf_flwr.flower.client_keys import keys_of_nodes, read_client_keys
from huscf_flwr.run.run_folder import read_metrics, read_summary
from tests.flower.grid_runs import (
    EACH_WAY_ON_DEVICES,
    asked,
    contents,
    hosts,
    owners,
    run,
    trained_in,
    training_of,
)
from tests.flower.in_process_grid import InProcessGrid
from tests.quick import OF_EACH_WAY
from tests.run.builders import (
    METHODS,
    UNJUDGED,
    all_tensors,
    assert_close,
    assert_same_run,
    assert_same_to_the_bit,
    evaluations,
    kept_files,
    small_run,
)


@pytest.fixture(scope="module", params=EACH_WAY_ON_DEVICES)
def owned(request, images, tmp_path_factory):
    """Two owners and a host of virtual clients, two rounds."""
    place = tmp_path_factory.mktemp("owned")
    # In float32 the last digits depend on how many threads computed them, and these on which one served.
    settings = {"compute.precision": "float64", **METHODS[request.param]}
    config = small_run(images, place, name=request.param, **settings)
    return config, run(config, {**owners(images, place), **hosts(1)}), place


def test_owners_train_beside_virtual_clients(owned):
    config, *_ = owned
    line = read_metrics(config.folder)[-1]
    assert [client["id"] for client in line["clients"]] == [0, 1, 2, 3]
    assert [client["samples"] for client in line["clients"]] == [60, 60, 30, 30]
    known = json.loads((config.folder / "clients.json").read_text())["clients"]
    assert [client["device"] for client in known][:2] == ["d2", "d2"]


def test_where_nobody_knows_the_domains_nothing_is_invented(owned):
    config, *_ = owned
    summary = read_summary(config.folder)
    assert summary["domains"] is None
    assert (summary["clusters"] or {}).get("ari") is None
    assert all("domains" not in line for line in (*read_metrics(config.folder), *evaluations(config.folder)))


def scores_of(config):
    products = read_summary(config.folder)["products"].values()
    return [product["client_scores"] for product in products if "client_scores" in product]


@pytest.mark.parametrize("owned", ["huscf", "fedgan"], indirect=True)
def test_owners_judge_on_their_own_test_data_at_the_end(owned):
    config, grid, _ = owned
    assert asked(grid, "evaluate") == [200, 201]
    assert scores_of(config)
    for judged in scores_of(config):
        assert set(judged) == {"tstr_accuracy", "tstr_f1"}
        assert 0 <= judged["tstr_accuracy"] <= 1


@pytest.mark.parametrize("owned", ["huscf", "fedgan"], indirect=True)
def test_a_run_that_died_after_its_last_round_is_judged_when_it_is_resumed(owned):
    config, _, place = owned
    scores = scores_of(config)
    resumed = config.model_copy(update={"name": f"{config.name}-resumed", "resume": config.folder})
    grid = run(resumed, {**owners(config.data.root, place), **hosts(1)})
    assert asked(grid, "train") == []
    assert asked(grid, "evaluate") == [200, 201]
    assert scores_of(resumed) == scores


@pytest.mark.parametrize("claimed", [0, 9])
def test_who_judges_for_another_client_is_not_heard(images, tmp_path, claimed):
    def handle(message, context):
        reply = client_apps.app(message, context)
        if message.metadata.message_type == "evaluate" and context.node_id == 201:
            for what in ("samples", "scores"):
                reply.content[f"{what}/product/{claimed}"] = reply.content.pop(f"{what}/product/1")
            reply.content[f"scores/product/{claimed}"]["tstr_accuracy"] = 123.0
        return reply

    config = small_run(images, tmp_path, method="fedgan", clients=2, rounds=1, **{"evaluation.every": 0})
    grid = run(config, owners(images, tmp_path), app=handle)
    said = [
        content[f"scores/product/{client}"]["tstr_accuracy"]
        for content in contents(grid, "evaluate", "up")
        for client in (0, 9)
        if f"scores/product/{client}" in content
    ]
    (own,) = (score for score in said if score != 123.0)
    assert 123.0 in said
    assert [scores["tstr_accuracy"] for scores in scores_of(config)] == [own]


def test_owners_that_are_not_there_at_the_end_are_not_asked_to_judge(images, tmp_path, monkeypatch):
    """Flower would say only after half a minute or more that they are not there."""
    node_ids = InProcessGrid.get_node_ids

    def without_one_at_the_end(grid):
        trained = sum(reply.metadata.message_type == "train" for reply in grid.received)
        return [node for node in node_ids(grid) if node != 201 or trained < 4]

    monkeypatch.setattr(InProcessGrid, "get_node_ids", without_one_at_the_end)
    config = small_run(images, tmp_path, clients=2, **UNJUDGED)
    grid = run(config, owners(images, tmp_path))
    assert trained_in(config) == [[0, 1], [0, 1]]
    assert asked(grid, "evaluate") == [200]


@pytest.mark.parametrize("owned", ["huscf", "fedproto"], indirect=True)
def test_a_deployment_with_tls_is_the_same_run_and_remembers_whose_client_is_whose(images, owned, tmp_path):
    """In lock-step, and in messages."""
    plain, *_ = owned
    credentials = make_server_credentials(tmp_path, ["127.0.0.1"])
    files = {"executor.certificate": credentials.certificate, "executor.key": credentials.key}
    settings = {"compute.precision": "float64", **METHODS[plain.name], **files}
    config = small_run(images, tmp_path, **settings)
    trusted = {"root-certificates": str(credentials.authority)}
    nodes = {**owners(images, tmp_path), **hosts(1)}
    grid = run(config, {node: {**given, **trusted} for node, given in nodes.items()})
    assert_close(all_tensors(config.folder), all_tensors(plain.folder))
    assert evaluations(config.folder) == evaluations(plain.folder)
    assert read_client_keys(config.folder) == {node - 200: keys_of_nodes(grid)[node] for node in (200, 201)}
    assert read_client_keys(plain.folder) == {}


def test_owners_keep_what_is_theirs_in_their_state_folder(owned):
    config, grid, place = owned
    training = training_of(config)
    for client in (0, 1):
        files = kept_files(place / f"state-{client}" / training)
        assert list(files) == [f"client-{client}-round-000{number}" for number in (1, 2)]
        assert dict(grid.contexts[200 + client].state) == {}
    kept = (config.folder / "checkpoint" / "clients").iterdir()
    assert {path.name.split("-")[1] for path in kept} == {"2", "3"}


@pytest.mark.parametrize("method", OF_EACH_WAY)
def test_a_resumed_run_goes_on_to_the_bit(images, tmp_path, method):
    settings = {**UNJUDGED, **METHODS[method]}
    whole = small_run(images, tmp_path, name="whole", **settings)
    half = small_run(images, tmp_path, name="half", rounds=1, **settings)
    rest = small_run(images, tmp_path, name="rest", resume=half.folder, **settings)
    for config in (whole, half, rest):
        run(config, hosts(2))
    assert read_summary(rest.folder)["rounds"] == 2
    assert_same_run(rest.folder, whole.folder)
    assert evaluations(rest.folder)[-1:] == evaluations(whole.folder)


@pytest.mark.parametrize("method", EACH_WAY_ON_DEVICES)
def test_owners_go_on_with_what_they_kept_in_a_resumed_run(images, tmp_path, method):
    """Each run is another of Flower's, and knows nothing of the one before but its folder."""
    for name, parts in (("whole", [2]), ("halves", [1, 2])):
        for rounds in parts:
            resume = {"resume": tmp_path / name} if rounds > parts[0] else {}
            settings = {"name": name, "rounds": rounds, **METHODS[method], **resume, **UNJUDGED}
            config = small_run(images, tmp_path, **settings)
            run(config, {**owners(images, tmp_path / f"state of {name}"), **hosts(1)})
    assert_same_run(tmp_path / "halves", tmp_path / "whole")
    for client in (0, 1):
        state = tmp_path / "state of halves" / f"state-{client}"
        assert [path.name for path in state.iterdir() if len(path.name) == 32] == [training_of(config)]
        found, expected = (
            load_file(path)
            for name in ("halves", "whole")
            for path in (tmp_path / f"state of {name}").glob(f"state-{client}/*/*/client-?/round-0002-*")
        )
        assert_same_to_the_bit(found, expected)
