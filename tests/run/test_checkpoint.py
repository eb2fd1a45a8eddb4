"""What a checkpoint brings back, which ones are kept, and what a crash leaves.

Which are refused: test_refused_checkpoints.py.
"""

from functools import partial

import pytest
import torch

from huscf_flwr.models import flatten_blocks
from huscf_flwr.run import checkpoint
from huscf_flwr.run.checkpoint import (
    CheckpointError,
    checkpoint_folder,
    client_folder,
    last_round,
    read_checkpoint,
    save_checkpoint,
)
from huscf_flwr.run.client_files import private_file, save_private
from tests.full_disk import full_disk
from tests.quick import OF_EACH_KIND, mostly_slow
from tests.run.builders import (
    METHODS,
    SAMPLES,
    assert_same_state,
    assert_same_to_the_bit,
)
from tests.run.checkpoints import flip_a_byte, once_saved, restored, small_training


@pytest.fixture
def make(tmp_path):
    return partial(small_training, tmp_path)


@pytest.fixture
def saved(make, tmp_path):
    return once_saved(make(), tmp_path)


@pytest.mark.parametrize("method", mostly_slow(METHODS, *OF_EACH_KIND))
def test_all_that_the_server_holds_comes_back(make, tmp_path, method):
    training, other = make(**METHODS[method]), make(**METHODS[method])
    training.train()
    save_checkpoint(training.rounds, tmp_path)
    restored(other, tmp_path)
    for name in ("number", "training", "kept", "attempt"):
        assert getattr(other.rounds, name) == getattr(training.rounds, name), name
    assert set(training.rounds.kept) == set(SAMPLES)
    assert other.rounds.number == 1
    assert_same_state(other.method.state(), training.method.state())


def test_clusters_cuts_blocks_and_the_bodies_with_their_moments_come_back(saved, make, tmp_path):
    """What HuSCF's state is, piece by piece."""
    other = restored(make(), tmp_path).method
    method = saved.method
    assert other.clusters() == method.clusters()
    assert (other.cuts.now, other.cuts.before) == (method.cuts.now, method.cuts.before)
    assert other.models.blocks.keys() == method.models.blocks.keys()
    for cluster, blocks in method.models.blocks.items():
        assert_same_to_the_bit(flatten_blocks(other.models.blocks[cluster]), flatten_blocks(blocks))
    mine, theirs = other.bodies.segments, method.bodies.segments
    assert_same_to_the_bit(flatten_blocks(mine.states()), flatten_blocks(theirs.states()))
    assert_same_to_the_bit(mine.moments(), theirs.moments())


@pytest.mark.parametrize("method", mostly_slow(METHODS, *OF_EACH_KIND, "local"))
def test_the_next_round_is_the_same_from_memory_and_from_disk(make, tmp_path, method):
    """The other server and the other host begin with their files alone."""
    training, other = make(**METHODS[method]), make(**METHODS[method])
    training.train()
    save_checkpoint(training.rounds, tmp_path)
    restored(other, tmp_path)
    second, first = other.train(), training.train()
    assert {k: upload.losses for k, upload in second.collected.uploads.items()} == {
        k: upload.losses for k, upload in first.collected.uploads.items()
    }
    assert other.rounds.kept == training.rounds.kept
    assert_same_state(other.method.state(), training.method.state())


@pytest.mark.slow
def test_bodies_that_have_parted_come_back_and_go_on(make, tmp_path):
    settings = {"huscf.bodies": "parted", "huscf.clusters": 2, "rounds": 99}
    training = make(**settings)
    while not training.method.bodies.parted:
        training.train()
        assert training.rounds.number < 20
    training.train()
    save_checkpoint(training.rounds, tmp_path)
    other = restored(make(**settings), tmp_path)
    for _ in range(2):
        found, expected = other.method.bodies.bodies, training.method.bodies.bodies
        assert found.keys() == expected.keys() == {0, 1}
        for name, body in expected.items():
            assert_same_to_the_bit(flatten_blocks(found[name].states()), flatten_blocks(body.states()))
            assert_same_to_the_bit(found[name].moments(), body.moments())
        other.train()
        training.train()


def names(folder):
    return sorted(path.name for path in checkpoint_folder(folder).iterdir())


@pytest.mark.parametrize("keep_last", mostly_slow([1, 2, 9], 2))
def test_as_many_checkpoints_stay_as_are_to_be_kept(make, tmp_path, keep_last):
    training = make(**{"checkpoint.keep_last": keep_last})
    states = {}
    for number in (1, 2, 3):
        training.train()
        save_checkpoint(training.rounds, tmp_path)
        states[number] = training.method.state().copied()
    kept = sorted(states)[-keep_last:]
    assert names(tmp_path) == [
        f"server-000{number}.{kind}" for number in kept for kind in ("json", "safetensors")
    ]
    assert last_round(tmp_path) == 3
    for number in kept:
        other = restored(make(rounds=3), tmp_path, number)
        assert other.rounds.number == number
        assert_same_state(other.method.state(), states[number])


def test_a_round_that_is_not_kept_is_named_beside_those_that_are(make, tmp_path):
    training = make(**{"checkpoint.keep_last": 2})
    for _ in range(3):
        training.train()
        save_checkpoint(training.rounds, tmp_path)
    with pytest.raises(CheckpointError, match=r"resume_round: .* no checkpoint of round 1, only of 2, 3$"):
        read_checkpoint(tmp_path, 1)


def test_what_a_crash_left_half_written_is_removed(saved, tmp_path):
    left = checkpoint_folder(tmp_path) / ".server-0001.safetensors.4711"
    left.write_bytes(b"half")
    save_checkpoint(saved.rounds, tmp_path)
    assert names(tmp_path) == ["server-0001.json", "server-0001.safetensors"]


@pytest.mark.parametrize("writer", ["write_tensors", "write_json"])
def test_a_crash_while_saving_leaves_the_round_before(saved, make, tmp_path, monkeypatch, writer):
    def crash(*arguments):
        raise KeyboardInterrupt

    saved.train()
    monkeypatch.setattr(checkpoint, writer, crash)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved.rounds, tmp_path)
    assert restored(make(), tmp_path).rounds.number == 1


def keep_something(folder, client):
    tensors = {"mine": torch.tensor([float(client)])}
    return save_private(tensors, client_folder(folder), client, 1, before=None, keep_last=1)


def test_what_virtual_clients_keep_must_lie_beside_the_checkpoint(saved, tmp_path):
    saved.rounds.kept = {client: keep_something(tmp_path, client) for client in (0, 2)}
    save_checkpoint(saved.rounds, tmp_path)
    found = read_checkpoint(tmp_path)
    found.check_private([0, 1, 2])
    flip_a_byte(private_file(client_folder(tmp_path), 2, saved.rounds.kept[2]))
    found.check_private([0, 1])
    with pytest.raises(CheckpointError, match=r"resume: .* what client 2 kept after round 1"):
        found.check_private([0, 1, 2])


def test_another_run_takes_over_one_round(saved, make, tmp_path):
    saved.rounds.kept = {0: keep_something(tmp_path, 0)}
    save_checkpoint(saved.rounds, tmp_path)
    before = names(tmp_path)
    read_checkpoint(tmp_path).take_over(tmp_path / "new", keep_last=1)
    assert names(tmp_path) == before == names(tmp_path / "new")
    taken = read_checkpoint(tmp_path / "new")
    taken.check_private([0])
    assert taken.state == read_checkpoint(tmp_path).state


def test_what_a_full_disk_does_not_take_over_is_named(saved, tmp_path):
    save_checkpoint(saved.rounds, tmp_path)
    found = read_checkpoint(tmp_path)
    with full_disk(), pytest.raises(OSError, match=r"server-0001\.safetensors'$") as caught:
        found.take_over(tmp_path / "new", keep_last=1)
    assert str(tmp_path / "new") in caught.value.filename


def test_a_run_that_goes_back_in_its_own_folder_forgets_what_came_later(make, tmp_path):
    training = make(**{"checkpoint.keep_last": 3})
    for _ in range(3):
        training.train()
        save_checkpoint(training.rounds, tmp_path)
    read_checkpoint(tmp_path, 2).take_over(tmp_path, keep_last=3)
    assert names(tmp_path) == [
        f"server-000{number}.{kind}" for number in (1, 2) for kind in ("json", "safetensors")
    ]
    assert last_round(tmp_path) == 2
