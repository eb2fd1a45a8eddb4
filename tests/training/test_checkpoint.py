import json

import pytest
import torch

from huscf_flwr.models import Cut
from huscf_flwr.split import Segments
from huscf_flwr.training import checkpoint
from huscf_flwr.training.checkpoint import (
    CheckpointError,
    checkpoint_folder,
    load_moments,
    load_server,
    save_moments,
    save_server,
)
from tests.training.builders import SAMPLES, coordinator_of, small_run, train_round


@pytest.fixture
def make(tmp_path):
    def coordinator(*, cuts=None, samples=SAMPLES, **settings):
        config = small_run(tmp_path, tmp_path, clients=len(samples), **{"model.width": 0.03, **settings})
        return coordinator_of(config, cuts=cuts, samples=samples)

    return coordinator


@pytest.fixture
def saved(make, tmp_path):
    coordinator = make()
    train_round(coordinator)
    save_server(coordinator, tmp_path)
    return coordinator


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def assert_same_blocks(found, expected):
    assert found.keys() == expected.keys()
    for key, state in expected.items():
        assert_same(found[key], state)


def test_all_that_the_server_holds_comes_back(saved, make, tmp_path):
    other = make()
    load_server(other, tmp_path)
    assert other.round == 1
    assert other.clusters == saved.clusters
    assert other.cluster_blocks.keys() == saved.cluster_blocks.keys()
    for cluster, blocks in saved.cluster_blocks.items():
        assert_same_blocks(other.cluster_blocks[cluster], blocks)
    mine, theirs = other.executor.segments, saved.executor.segments
    assert_same_blocks(mine.states(), theirs.states())
    assert len(theirs.moments()) > 0
    assert_same(mine.moments(), theirs.moments())


def test_the_next_round_is_the_same_from_memory_and_from_disk(saved, make, tmp_path):
    other = make()
    load_server(other, tmp_path)
    first, second = train_round(saved), train_round(other)
    assert first.losses == second.losses
    assert_same_blocks(other.executor.segments.states(), saved.executor.segments.states())


def test_one_checkpoint_is_kept(saved, tmp_path):
    train_round(saved)
    save_server(saved, tmp_path)
    names = {path.name for path in checkpoint_folder(tmp_path).iterdir()}
    assert names == {"server.json", "server-0002.safetensors"}


@pytest.mark.parametrize("writer", ["write_tensors", "write_json"])
def test_a_crash_while_saving_leaves_the_round_before(saved, make, tmp_path, monkeypatch, writer):
    def crash(*arguments):
        raise KeyboardInterrupt

    train_round(saved)
    monkeypatch.setattr(checkpoint, writer, crash)
    with pytest.raises(KeyboardInterrupt):
        save_server(saved, tmp_path)
    other = make()
    load_server(other, tmp_path)
    assert other.round == 1


def change_state(folder, **changes):
    path = checkpoint_folder(folder) / "server.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_no_checkpoint(make, tmp_path):
    with pytest.raises(CheckpointError, match=r"resume: .*checkpoint has no checkpoint"):
        load_server(make(), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.width": 0.04}, "is of another network"),
        ({"model.spec": "colour-32"}, "is of another network"),
        ({"samples": {0: 1, 1: 1}}, "is of other clients or cuts"),
        ({"cuts": dict.fromkeys(SAMPLES, Cut())}, "is of other clients or cuts"),
    ],
)
def test_another_runs_checkpoint_is_refused(saved, make, tmp_path, settings, message):
    other = make(**settings)
    with pytest.raises(CheckpointError, match=f"resume: the checkpoint in .*{message}"):
        load_server(other, tmp_path)
    assert other.round == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "server.json").write_text("{"), r"server\.json is damaged"),
        (lambda folder: (folder / "server.json").write_text("[]"), r"is damaged: server\.json"),
        (lambda folder: (folder / "server.json").write_text("{}"), r"is damaged: server\.json"),
        (lambda folder: (folder / "server.json").write_text('{"version": 1}'), r"is damaged: server\.json"),
        (lambda folder: flip_a_byte(folder / "server-0001.safetensors"), "is damaged: server-0001"),
        (lambda folder: (folder / "server-0001.safetensors").unlink(), "is damaged: server-0001"),
        (lambda folder: change_state(folder.parent, version=99), "is of a newer version"),
        (lambda folder: change_state(folder.parent, sha256="0"), "is damaged: server-0001"),
    ],
)
def test_a_damaged_or_newer_checkpoint_is_refused(saved, make, tmp_path, damage, message):
    damage(checkpoint_folder(tmp_path))
    other = make()
    with pytest.raises(CheckpointError, match=f"resume: .*{message}"):
        load_server(other, tmp_path)
    assert other.round == 0


@pytest.fixture
def trained_segments(make):
    coordinator = make()
    train_round(coordinator)
    return coordinator.executor.segments


def like(segments, coordinator):
    return Segments(coordinator.spec, list(segments.states()), seed=9)


def test_a_clients_moments_come_back(trained_segments, make, tmp_path):
    checksum = save_moments(trained_segments, tmp_path, 7, 1)
    for expected in (checksum, None):
        other = like(trained_segments, make())
        assert load_moments(other, tmp_path, 7, 1, expected)
        assert_same(other.moments(), trained_segments.moments())


def test_a_client_without_moments_begins_without(trained_segments, make, tmp_path):
    other = like(trained_segments, make())
    save_moments(trained_segments, tmp_path, 6, 3)
    save_moments(trained_segments, tmp_path, 7, 2)
    assert not load_moments(other, tmp_path, 7, 3)
    assert other.moments() == {}


def test_the_moments_of_two_rounds_are_kept(trained_segments, tmp_path):
    """If the server does not finish the last round, training goes on from those of the one before."""
    for number in (1, 2, 3):
        save_moments(trained_segments, tmp_path, 7, number)
        save_moments(trained_segments, tmp_path, 71, number)
    kept = [f"client-{client}-round-000{number}.safetensors" for client in (7, 71) for number in (2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_moments_that_were_not_saved_last_are_refused(trained_segments, tmp_path):
    checksum = save_moments(trained_segments, tmp_path, 7, 1)
    refusal = r"client-7-round-000\d.*not the moments that client 7 saved last"
    with pytest.raises(CheckpointError, match=refusal):
        load_moments(trained_segments, tmp_path, 7, 2, checksum)
    flip_a_byte(tmp_path / "client-7-round-0001.safetensors")
    with pytest.raises(CheckpointError, match=refusal):
        load_moments(trained_segments, tmp_path, 7, 1, checksum)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"mode": "parity"}, "method.beta, .*mode"),
        ({"method.beta": 3}, "method.beta"),
        ({"optimiser.learning_rate": 1}, "optimiser.learning-rate"),
        ({"data.scenario": "two-domains-non-iid"}, "data.scenario"),
    ],
)
def test_another_runs_settings_are_refused_by_name(saved, make, tmp_path, settings, named):
    with pytest.raises(CheckpointError, match=f"is of a run with other settings: .*{named}"):
        load_server(make(**settings), tmp_path)


def test_what_does_not_change_the_training_may_change(saved, make, tmp_path):
    changed = {
        "name": "other",
        "rounds": 99,
        "data.cache": tmp_path / "elsewhere",
        "evaluation.every": 5,
        "executor.bind": "0.0.0.0:9000",
        "compute.threads": 3,
    }
    other = make(**changed)
    load_server(other, tmp_path)
    assert other.round == 1
