"""Clients evaluate models of their own, in simulations as on devices, and only scores come back."""

import pytest
import torch

import client_apps
from huscf_flwr.data import population_of, write_idx_folder
from huscf_flwr.evaluation.scores import DivergedError
from huscf_flwr.models import model_spec_of
from huscf_flwr.run import host
from huscf_flwr.run.checkpoint import read_checkpoint
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_summary
from tests.flower.grid_runs import DOUBLE, asked, contents, hosts, run, trained_in
from tests.flower.in_process_grid import InProcessGrid
from tests.run.builders import METHODS, SilentDisplay, evaluations, small_run

KEEPING = ("fedproto", "local", "local-classifier")
"""Methods whose models stay on clients."""


@pytest.fixture
def make(images, tmp_path):
    """Makes the configuration of a run whose clients hold images out, and evaluate after each round."""

    def config(method="fedproto", name="flower", **settings):
        given = {"data.held_out": 0.2, "evaluation.synthetic_images": 0, **DOUBLE, **METHODS[method]}
        return small_run(images, tmp_path, name=name, **{**given, **settings})

    return config


def trained_locally(config):
    train_locally(config, display=SilentDisplay())
    return config.folder


def by_client(line):
    return {client["id"]: {key: client[key] for key in client if key != "id"} for client in line["clients"]}


def evaluated_in(config):
    """The clients that scored models of their own, by round."""
    return {line["round"]: list(by_client(line)) for line in evaluations(config.folder)}


@pytest.mark.parametrize("method", KEEPING)
def test_virtual_clients_find_what_they_find_on_the_local_engine(make, method):
    config = make(method)
    run(config, hosts(2))
    local = trained_locally(make(method, "local"))
    lines = evaluations(config.folder)
    assert lines == evaluations(local)
    assert evaluated_in(config) == {number: [0, 1, 2, 3] for number in (1, 2)}
    summary = read_summary(config.folder)
    assert summary["own_models"] == lines[-1]["scores"]
    for part in ("own_models", "domains", "products"):
        assert summary[part] == read_summary(local)[part]


def owners_of_the_same(config, place, without_test):
    """SuperNodes that own what the virtual clients 0 and 1 hold; client ``without_test`` has no more."""
    population = population_of(config, model_spec_of(config))
    nodes = {}
    for client in (0, 1):
        data, folder = population.data_of(client), place / f"images-{client}"
        write_idx_folder(folder, population.held_by(client), data.test)
        for path in folder.glob("t10k-*") if client == without_test else ():
            path.unlink()
        state = place / f"state-{client}"
        nodes[200 + client] = {"client-id": client, "data-folder": str(folder), "state-folder": str(state)}
    return nodes


@pytest.mark.parametrize("method", ["fedproto", "local-classifier"])
def test_owners_find_on_their_own_images_what_virtual_clients_would(make, tmp_path, method):
    """Who has no test images scores its classifier on what it has held out."""
    config = make(method)
    run(config, {**owners_of_the_same(config, tmp_path, without_test=1), **hosts(1)})
    expected = evaluations(trained_locally(make(method, "local")))
    found = evaluations(config.folder)
    assert [line["round"] for line in found] == [1, 2]
    for line, other in zip(found, expected, strict=True):
        assert line["trained"] == 4
        scores, others = by_client(line), by_client(other)
        del others[1]["test"]
        assert scores == others
        assert "domains" not in line
    assert read_summary(config.folder)["own_models"] == found[-1]["scores"]


def test_an_owner_judges_the_generator_of_its_own_and_none_is_judged_on_images_held_out(make, tmp_path):
    """Without test images by those that it trains on, which its judge knows."""
    config = make("local", rounds=1)
    run(config, {**owners_of_the_same(config, tmp_path, without_test=1), **hosts(1)})
    (line,) = evaluations(config.folder)
    assert [set(own) for own in by_client(line).values()] == [{"generated"}] * 4


@pytest.mark.parametrize(("every", "due"), [(0, [3]), (1, [1, 2, 3]), (2, [2, 3])])
def test_they_are_asked_when_it_is_due(make, every, due):
    config = make(rounds=3, **{"evaluation.every": every})
    grid = run(config, hosts(2))
    assert list(evaluated_in(config)) == due
    assert len(asked(grid, "evaluate")) == 2 * len(due)
    last = {request["evaluation"]["round"]: request["evaluation"] for request in contents(grid, "evaluate")}
    assert [told["thoroughly"] for told in last.values()] == [number == 3 for number in due]


@pytest.mark.parametrize("method", ["huscf", "fedgan", "central"])
def test_nobody_is_asked_where_nothing_stays_on_clients(images, tmp_path, method):
    config = small_run(images, tmp_path, rounds=1, **METHODS[method])
    assert asked(run(config, hosts(2)), "evaluate") == []
    assert evaluations(config.folder) == []
    assert "own_models" not in read_summary(config.folder)


def test_a_share_of_the_clients_is_asked_the_same_as_on_the_local_engine(make):
    """A SuperNode without any of them gets no message."""
    settings = {"fraction_evaluate": 0.25, "rounds": 4}
    config = make(**settings)
    grid = run(config, hosts(2))
    assert evaluations(config.folder) == evaluations(trained_locally(make(name="local", **settings)))
    found = evaluated_in(config)
    assert [len(clients) for clients in found.values()] == [1] * 4
    assert len({tuple(clients) for clients in found.values()}) > 1
    assert len(asked(grid, "evaluate")) == 4


def test_who_does_not_train_may_be_asked_to_evaluate(make):
    settings = {"fraction_train": 0.5, "rounds": 1}
    config = make(**settings)
    run(config, hosts(2))
    assert [len(clients) for clients in trained_in(config)] == [2]
    assert evaluated_in(config) == {1: [0, 1, 2, 3]}
    assert evaluations(config.folder) == evaluations(trained_locally(make(name="local", **settings)))


class Failing:
    """A ClientApp in which SuperNodes cannot evaluate, in the rounds that are given."""

    def __init__(self, nodes, rounds):
        self.nodes, self.rounds = nodes, rounds

    def __call__(self, message, context):
        is_evaluation = message.metadata.message_type == "evaluate" and context.node_id in self.nodes
        if is_evaluation and message.content["evaluation"]["round"] in self.rounds:
            raise MemoryError
        return client_apps.app(message, context)


def test_a_supernode_that_fails_to_evaluate_harms_nobody(make, caplog):
    """Its clients are missing, and train on in the next round."""
    config = make()
    run(config, hosts(2), app=Failing({101}, {1}))
    assert evaluated_in(config) == {1: [0, 2], 2: [0, 1, 2, 3]}
    assert trained_in(config) == [[0, 1, 2, 3], [0, 1, 2, 3]]
    expected = evaluations(trained_locally(make(name="local")))
    found = evaluations(config.folder)
    assert by_client(found[0]) == {client: by_client(expected[0])[client] for client in (0, 2)}
    assert found[1] == expected[1]
    assert "SuperNode 101 failed: MemoryError" in caplog.text


def test_where_nobody_can_evaluate_the_run_ends_without_scores_and_one_that_goes_on_makes_up_for_it(make):
    config = make()
    run(config, hosts(2), app=Failing({100, 101}, {2}))
    assert list(evaluated_in(config)) == [1]
    summary = read_summary(config.folder)
    assert summary["rounds"] == 2
    assert "own_models" not in summary

    again = make(resume=config.folder)
    grid = run(again, hosts(2))
    assert asked(grid, "train") == []
    assert evaluations(again.folder) == evaluations(trained_locally(make(name="local")))
    assert read_summary(again.folder)["own_models"] == evaluations(again.folder)[-1]["scores"]


@pytest.mark.parametrize("client", [0, 9])
def test_a_reply_with_scores_of_a_client_that_was_not_asked_there_is_left_out(make, caplog, client):
    """All of it: whoever speaks for others is not to be believed for itself either."""

    def handle(message, context):
        reply = client_apps.app(message, context)
        if message.metadata.message_type == "evaluate" and context.node_id == 101:
            reply.content[f"scores/test/{client}"] = reply.content["scores/test/1"]
        return reply

    config = make(rounds=1)
    run(config, hosts(2), app=handle)
    assert evaluated_in(config) == {1: [0, 2]}
    (found,), (expected,) = (
        evaluations(folder) for folder in (config.folder, trained_locally(make(name="local", rounds=1)))
    )
    assert by_client(found) == {client: by_client(expected)[client] for client in (0, 2)}
    assert "SuperNode 101: scores of own models for clients" in caplog.text


def test_a_client_whose_model_has_diverged_costs_the_others_of_its_supernode_nothing(
    make, monkeypatch, tmp_path
):
    """As on the local engine: it has no scores, and the run says why."""

    def scored(member, *arguments, **options):
        if (member.client, options["number"]) == (1, 1):
            raise DivergedError("client 1's classifier: it has diverged")
        return own_scores(member, *arguments, **options)

    own_scores = host.own_scores
    monkeypatch.setattr(host, "own_scores", scored)
    config, display = make(), SilentDisplay()
    run(config, hosts(2), display=display)
    assert evaluated_in(config) == {1: [0, 2, 3], 2: [0, 1, 2, 3]}
    first, second = evaluations(config.folder)
    assert first["drop_outs"] == [{"id": 1, "reason": "client 1's classifier: it has diverged"}]
    assert second["drop_outs"] == []
    assert "client 1 dropped out of the evaluation after round 1: client 1's classifier: it has diverged" in (
        display.notes
    )
    assert evaluations(trained_locally(make(name="local"))) == [first, second]


def test_where_all_models_have_diverged_the_run_ends_and_is_not_evaluated_again(make, monkeypatch):
    def scored(member, *_, **__):
        raise DivergedError(f"client {member.client} has diverged")

    monkeypatch.setattr(host, "own_scores", scored)
    config = make(rounds=1)
    run(config, hosts(2))
    (line,) = evaluations(config.folder)
    assert [dropped["id"] for dropped in line["drop_outs"]] == [0, 1, 2, 3]
    again = make(rounds=1, resume=config.folder)
    assert asked(run(again, hosts(2)), "evaluate") == []


def test_class_means_are_told_once_to_each_supernode_and_as_they_are_now(make):
    config = make(**{"fraction_train": 0.5})
    grid = run(config, hosts(2))
    state = read_checkpoint(config.folder).tensors
    known = state["known"].nonzero().squeeze(1)
    for request in contents(grid, "evaluate")[-2:]:
        (told,) = (record.to_torch_state_dict() for record in request.array_records.values())
        assert set(request.array_records) == {"group/everybody/global_means"}
        assert torch.equal(told["classes"], known)
        assert torch.equal(told["means"], state["means"][known])
    assert evaluations(config.folder) == evaluations(trained_locally(make(name="local", fraction_train=0.5)))


def test_supernodes_that_evaluate_at_the_same_time_are_told_how_many_they_are(make, tmp_path):
    """Owners have a machine of their own."""
    grid = run(make(rounds=1, fraction_evaluate=0.25), hosts(2))
    assert [request["evaluation"]["neighbours"] for request in contents(grid, "evaluate")] == [1]
    config = make(name="owned", rounds=1)
    grid = run(config, {**owners_of_the_same(config, tmp_path, without_test=None), **hosts(2)})
    assert [request["evaluation"]["neighbours"] for request in contents(grid, "evaluate")] == [2] * 4


def test_owners_that_are_not_there_are_not_asked(make, tmp_path, monkeypatch):
    node_ids = InProcessGrid.get_node_ids

    def without_one_after_training(grid):
        trained = sum(reply.metadata.message_type == "train" for reply in grid.received)
        return [node for node in node_ids(grid) if node != 201 or trained < 2]

    monkeypatch.setattr(InProcessGrid, "get_node_ids", without_one_after_training)
    config = make(rounds=1, clients=2)
    grid = run(config, owners_of_the_same(config, tmp_path, without_test=None))
    assert asked(grid, "evaluate") == [200]
    assert evaluated_in(config) == {1: [0]}
