import json

import pytest
import torch
from huscf_flwr.training import checkpoint

from huscf_flwr.models import Cut
from huscf_flwr.run.checkpoint import (
    VERSION,
    CheckpointError,
    checkpoint_folder,
    client_folder,
    last_round,
    load_server,
    read_checkpoint,
    save_server,
)
from huscf_flwr.run.client_files import KeptMoments, save_moments
from tests.run.builders import SAMPLES, coordinator_of, small_run, train_round


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
    coordinator.kept_moments = {1: KeptMoments(1, "ab" * 32)}
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
    load_server(other, read_checkpoint(tmp_path))
    for name in ("round", "training", "clusters", "cuts", "cuts_before", "kept_moments"):
        assert getattr(other, name) == getattr(saved, name), name
    assert other.cluster_blocks.keys() == saved.cluster_blocks.keys()
    for cluster, blocks in saved.cluster_blocks.items():
        assert_same_blocks(other.cluster_blocks[cluster], blocks)
    mine, theirs = other.executor.segments, saved.executor.segments
    assert_same_blocks(mine.states(), theirs.states())
    assert len(theirs.moments()) > 0
    assert_same(mine.moments(), theirs.moments())


def test_the_next_round_is_the_same_from_memory_and_from_disk(saved, make, tmp_path):
    other = make()
    load_server(other, read_checkpoint(tmp_path))
    first, second = train_round(saved), train_round(other)
    assert first.losses == second.losses
    assert_same_blocks(other.executor.segments.states(), saved.executor.segments.states())


def test_bodies_that_have_parted_come_back_and_go_on(make, tmp_path):
    settings = {"method.bodies": "parted", "method.clusters": 2, "rounds": 99}
    coordinator = make(**settings)
    while not coordinator.executor.parted:
        train_round(coordinator)
        assert coordinator.round < 20
    train_round(coordinator)
    save_server(coordinator, tmp_path)
    other = make(**settings)
    load_server(other, read_checkpoint(tmp_path))
    for _ in range(2):
        assert other.executor.bodies.keys() == coordinator.executor.bodies.keys() == {0, 1}
        for name, body in coordinator.executor.bodies.items():
            assert_same_blocks(other.executor.bodies[name].states(), body.states())
            assert_same(other.executor.bodies[name].moments(), body.moments())
        assert train_round(coordinator).losses == train_round(other).losses


def names(folder):
    return sorted(path.name for path in checkpoint_folder(folder).iterdir())


@pytest.mark.parametrize("keep_last", [1, 2, 9])
def test_as_many_checkpoints_stay_as_are_to_be_kept(make, tmp_path, keep_last):
    coordinator = make(**{"checkpoint.keep_last": keep_last})
    states = {}
    for number in (1, 2, 3):
        train_round(coordinator)
        save_server(coordinator, tmp_path)
        states[number] = {
            key: value.clone() for key, value in coordinator.executor.segments.moments().items()
        }
    kept = sorted(states)[-keep_last:]
    assert names(tmp_path) == [
        f"server-000{number}.{kind}" for number in kept for kind in ("json", "safetensors")
    ]
    assert last_round(tmp_path) == 3
    for number in kept:
        other = make(rounds=3)
        load_server(other, read_checkpoint(tmp_path, number))
        assert other.round == number
        assert_same(other.executor.segments.moments(), states[number])


def test_a_round_that_is_not_kept_is_named_beside_those_that_are(make, tmp_path):
    coordinator = make(**{"checkpoint.keep_last": 2})
    for _ in range(3):
        train_round(coordinator)
        save_server(coordinator, tmp_path)
    with pytest.raises(CheckpointError, match=r"resume_round: .* no checkpoint of round 1, only of 2, 3$"):
        read_checkpoint(tmp_path, 1)


def test_what_a_crash_left_half_written_is_removed(saved, tmp_path):
    left = checkpoint_folder(tmp_path) / ".server-0001.safetensors.4711"
    left.write_bytes(b"half")
    save_server(saved, tmp_path)
    assert names(tmp_path) == ["server-0001.json", "server-0001.safetensors"]


@pytest.mark.parametrize("writer", ["write_tensors", "write_json"])
def test_a_crash_while_saving_leaves_the_round_before(saved, make, tmp_path, monkeypatch, writer):
    def crash(*arguments):
        raise KeyboardInterrupt

    train_round(saved)
    monkeypatch.setattr(checkpoint, writer, crash)
    with pytest.raises(KeyboardInterrupt):
        save_server(saved, tmp_path)
    other = make()
    load_server(other, read_checkpoint(tmp_path))
    assert other.round == 1


def state_file(folder):
    return checkpoint_folder(folder) / "server-0001.json"


def change_state(folder, *, signed=True, **changes):
    """Write other values; ``signed`` with the checksum that belongs to them."""
    content = {**json.loads(state_file(folder).read_text()), **changes}
    if signed:
        content.pop("checksum")
        content["checksum"] = checkpoint._checksum(content)
    state_file(folder).write_text(json.dumps(content))


def tensor_file(folder):
    return state_file(folder).with_suffix(".safetensors")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_no_checkpoint(make, tmp_path):
    with pytest.raises(CheckpointError, match=r"resume: .*checkpoint has no checkpoint"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.width": 0.04}, "is of another network"),
        ({"model.spec": "colour-32"}, "is of another network"),
        ({"cuts": dict.fromkeys(SAMPLES, Cut())}, "has other cuts for clients 1, 2: their device profiles"),
        ({"samples": {0: 1, 1: 1, 3: 1}}, "is of other clients: 0, 1, 2; this run has 0, 1, 3"),
    ],
)
def test_another_runs_checkpoint_is_refused(saved, make, tmp_path, settings, message):
    other = make(**settings)
    with pytest.raises(CheckpointError, match=f"resume: the checkpoint in .*{message}"):
        load_server(other, read_checkpoint(tmp_path))
    assert other.round == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda place: state_file(place).write_text("{"), r"is damaged: server-0001\.json"),
        (lambda place: state_file(place).write_text("[]"), r"is damaged: server-0001\.json"),
        (lambda place: state_file(place).write_text("{}"), r"is damaged: server-0001\.json"),
        (lambda place: state_file(place).write_text(f'{{"version": {VERSION}}}'), "is damaged: server-0001"),
        (lambda place: flip_a_byte(state_file(place)), r"is damaged: server-0001\.json"),
        (lambda place: change_state(place, signed=False, round=7), r"is damaged: server-0001\.json"),
        (lambda place: change_state(place, clusters={"one": 1}), r"is damaged: server-0001\.json"),
        (lambda place: change_state(place, sha256="0"), "is damaged: server-0001.safetensors is not"),
        (lambda place: flip_a_byte(tensor_file(place)), "is damaged: server-0001.safetensors is not"),
        (lambda place: cut_short(tensor_file(place)), "is damaged: server-0001.safetensors is not"),
        (lambda place: tensor_file(place).unlink(), "is damaged: server-0001.safetensors is missing"),
        (lambda place: change_state(place, version=99), f"is of a newer version .*: 99, this is {VERSION}"),
        (lambda place: change_state(place, version=1), f"is of an older version .*: 1, not {VERSION}"),
    ],
)
def test_a_damaged_checkpoint_or_one_of_another_version_is_refused(saved, tmp_path, damage, message):
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=f"^resume: the checkpoint in .*{message}"):
        read_checkpoint(tmp_path)


def test_every_byte_of_the_small_file_is_watched(saved, tmp_path):
    """Whichever byte changes: refused, or the same to a reader of JSON."""
    content = state_file(tmp_path).read_bytes()
    whole = json.loads(content)
    for place in range(0, len(content), 7):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        state_file(tmp_path).write_bytes(changed)
        try:
            read_checkpoint(tmp_path)
        except CheckpointError:
            continue
        assert json.loads(changed) == whole


def test_moments_of_virtual_clients_must_lie_beside_the_checkpoint(saved, tmp_path):
    segments = saved.executor.segments
    saved.kept_moments = {
        client: save_moments(segments, client_folder(tmp_path), client, 1, before=None, keep_last=1)
        for client in (0, 2)
    }
    save_server(saved, tmp_path)
    found = read_checkpoint(tmp_path)
    found.check_moments([0, 1, 2])
    flip_a_byte(client_folder(tmp_path) / "client-2-round-0001.safetensors")
    found.check_moments([0, 1])
    with pytest.raises(CheckpointError, match=r"resume: .* the moments that client 2 kept after round 1"):
        found.check_moments([0, 1, 2])


def test_another_run_takes_over_one_round(saved, make, tmp_path):
    saved.kept_moments = {
        0: save_moments(saved.executor.segments, client_folder(tmp_path), 0, 1, before=None, keep_last=1)
    }
    save_server(saved, tmp_path)
    before = names(tmp_path)
    read_checkpoint(tmp_path).take_over(tmp_path / "new", keep_last=1)
    assert names(tmp_path) == before == names(tmp_path / "new")
    taken = read_checkpoint(tmp_path / "new")
    taken.check_moments([0])
    assert taken.state == read_checkpoint(tmp_path).state


def test_a_run_that_goes_back_in_its_own_folder_forgets_what_came_later(make, tmp_path):
    coordinator = make(**{"checkpoint.keep_last": 3})
    for _ in range(3):
        train_round(coordinator)
        save_server(coordinator, tmp_path)
    read_checkpoint(tmp_path, 2).take_over(tmp_path, keep_last=3)
    assert names(tmp_path) == [
        f"server-000{number}.{kind}" for number in (1, 2) for kind in ("json", "safetensors")
    ]
    assert last_round(tmp_path) == 2


def test_fewer_rounds_than_the_checkpoint_has_are_named(saved, make, tmp_path):
    train_round(saved)
    save_server(saved, tmp_path)
    with pytest.raises(CheckpointError, match="is of round 2, and rounds is 1: take more"):
        load_server(make(rounds=1), read_checkpoint(tmp_path))


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
        load_server(make(**settings), read_checkpoint(tmp_path))


def test_what_does_not_change_the_training_may_change(saved, make, tmp_path):
    changed = {
        "name": "other",
        "rounds": 99,
        "min_clients": 2,
        "attempts": 7,
        "data.cache": tmp_path / "elsewhere",
        "checkpoint.keep_last": 4,
        "evaluation.every": 5,
        "executor.bind": "0.0.0.0:9000",
        "compute.threads": 3,
        "compute.keep_memory": False,
    }
    other = make(**changed)
    load_server(other, read_checkpoint(tmp_path))
    assert other.round == 1
