import json
import shutil

import pytest
import torch

from huscf_flwr.methods.contract import Kept
from huscf_flwr.models import Cut, flatten_blocks
from huscf_flwr.run import checkpoint
from huscf_flwr.run.checkpoint import (
    VERSION,
    CheckpointError,
    checkpoint_folder,
    client_folder,
    last_round,
    read_checkpoint,
    save_checkpoint,
)
from huscf_flwr.run.client_files import private_file, save_private
from tests.quick import OF_EACH_KIND, mostly_slow
from tests.run.builders import (
    METHODS,
    SAMPLES,
    assert_same_state,
    assert_same_to_the_bit,
    small_run,
    training_of,
)


@pytest.fixture
def make(tmp_path):
    def training(*, cuts=None, samples=SAMPLES, **settings):
        config = small_run(tmp_path, tmp_path, clients=len(samples), **{"model.width": 0.03, **settings})
        return training_of(config, cuts=cuts, samples=samples)

    return training


@pytest.fixture
def saved(make, tmp_path):
    training = make()
    training.train()
    save_checkpoint(training.rounds, tmp_path)
    return training


@pytest.fixture(scope="module")
def one_checkpoint(tmp_path_factory):
    """A folder with a checkpoint of one round, to be copied."""
    folder = tmp_path_factory.mktemp("saved")
    training = training_of(small_run(folder, folder, clients=len(SAMPLES), **{"model.width": 0.03}))
    training.train()
    save_checkpoint(training.rounds, folder)
    return checkpoint_folder(folder)


@pytest.fixture
def checkpointed(one_checkpoint, tmp_path):
    """The folder of the test has a checkpoint of one round, to be read or damaged."""
    shutil.copytree(one_checkpoint, checkpoint_folder(tmp_path))


def restored(training, folder, number=None):
    read_checkpoint(folder, number).restore(training.rounds)
    return training


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
        ({"model.width": 0.04}, "belongs to another network"),
        ({"model.spec": "colour-32"}, "belongs to another network"),
        ({"cuts": dict.fromkeys(SAMPLES, Cut())}, "has other cuts for clients 1, 2: their device profiles"),
        ({"samples": {0: 1, 1: 1, 3: 1}}, "belongs to other clients: 0, 1, 2; this run has 0, 1, 3"),
    ],
)
def test_another_runs_checkpoint_is_refused(checkpointed, make, tmp_path, settings, message):
    other = make(**settings)
    with pytest.raises(CheckpointError, match=f"resume: the checkpoint in .*{message}"):
        restored(other, tmp_path)
    assert other.rounds.number == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda place: state_file(place).write_text("{"), r"is damaged: server-0001\.json"),
        (lambda place: state_file(place).write_text("[]"), r"is damaged: server-0001\.json"),
        (lambda place: state_file(place).write_text("{}"), r"is damaged: server-0001\.json"),
        (lambda place: state_file(place).write_text(f'{{"version": {VERSION}}}'), "is damaged: server-0001"),
        (lambda place: flip_a_byte(state_file(place)), r"is damaged: server-0001\.json"),
        (lambda place: change_state(place, signed=False, round=7), r"is damaged: server-0001\.json"),
        (lambda place: change_state(place, clients={"one": 1}), r"is damaged: server-0001\.json"),
        (lambda place: change_state(place, sha256="0"), "is damaged: server-0001.safetensors is not"),
        (lambda place: flip_a_byte(tensor_file(place)), "is damaged: server-0001.safetensors is not"),
        (lambda place: cut_short(tensor_file(place)), "is damaged: server-0001.safetensors is not"),
        (lambda place: tensor_file(place).unlink(), "is damaged: server-0001.safetensors is missing"),
        (lambda place: change_state(place, version=99), f"by a newer version .*: 99, this is {VERSION}"),
        (lambda place: change_state(place, version=3), f"by an older version .*: 3, not {VERSION}"),
        (lambda place: change_state(place, version=1), "the program that wrote it, or start again"),
    ],
)
def test_a_damaged_checkpoint_or_one_of_another_version_is_refused(checkpointed, tmp_path, damage, message):
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=f"^resume: the checkpoint in .*{message}"):
        read_checkpoint(tmp_path)


def test_every_byte_of_the_small_file_is_watched(checkpointed, tmp_path):
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


def test_fewer_rounds_than_the_checkpoint_has_are_named(saved, make, tmp_path):
    saved.train()
    save_checkpoint(saved.rounds, tmp_path)
    with pytest.raises(CheckpointError, match="is of round 2, and this run has 1: set rounds to more"):
        restored(make(rounds=1), tmp_path)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"mode": "parity"}, "huscf.beta"),
        ({"huscf.beta": 3}, "huscf.beta"),
        ({"method": "fedgan"}, "huscf.beta, .*method"),
        ({"optimiser.learning_rate": 1}, "optimiser.learning-rate"),
        ({"data.held_out": 0.5}, "data.held-out"),
        ({"fraction_train": 0.5, "min_train_clients": 2}, "fraction-train, min-train-clients"),
    ],
)
def test_another_runs_settings_are_refused_by_name(checkpointed, make, tmp_path, settings, named):
    with pytest.raises(CheckpointError, match=f"belongs to a run with other settings: .*{named}"):
        restored(make(**settings), tmp_path)


def test_a_setting_that_was_not_there_yet_had_its_default(saved, make, tmp_path, monkeypatch):
    def before(config, settings=checkpoint._settings):
        return {key: value for key, value in settings(config).items() if key != "classifier.augmentation"}

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_settings", before)
        save_checkpoint(saved.rounds, tmp_path)
    restored(make(), tmp_path)
    with pytest.raises(CheckpointError, match=r"other settings: classifier\.augmentation"):
        restored(make(**{"classifier.augmentation": "affine"}), tmp_path)


@pytest.mark.parametrize(
    ("settings", "images", "named"),
    [
        ({"data.scenario": "two-domains-non-iid"}, "one", "another scenario"),
        ({"data.domains": "digits"}, "one", "another scenario"),
        ({"cuts.devices": "slow"}, "one", "other device profiles"),
        ({}, "two", "other images"),
    ],
)
def test_what_a_run_computes_from_is_known_by_content(make, tmp_path, settings, images, named):
    training = make()
    training.rounds.images = "one"
    save_checkpoint(training.rounds, tmp_path)
    other = make(**settings)
    other.rounds.images = images
    with pytest.raises(CheckpointError, match=f"belongs to a run with {named}.*: give it what it was"):
        restored(other, tmp_path)
    for known in ("one", None):
        again = make()
        again.rounds.images = known
        restored(again, tmp_path)


def test_what_does_not_change_the_training_may_change(checkpointed, make, tmp_path):
    changed = {
        "name": "other",
        "rounds": 99,
        "min_clients": 2,
        "fraction_evaluate": 0.5,
        "attempts": 7,
        "data.cache": tmp_path / "elsewhere",
        "checkpoint.keep_last": 4,
        "evaluation.every": 5,
        "executor.bind": "0.0.0.0:9000",
        "compute.threads": 3,
        "compute.keep_memory": False,
        "compute.measure_memory": True,
    }
    assert restored(make(**changed), tmp_path).rounds.number == 1


@pytest.mark.parametrize("key", ["outputs.lr", "names.lr", "rounds-x.lr", "evaluations.x", "data.rooted"])
def test_settings_whose_names_begin_alike_may_not(key):
    assert not checkpoint._may_change(key)


def test_a_checkpoint_of_the_version_before_is_refused_whatever_it_has(tmp_path):
    """It has other keys, so its checksum is not looked at: what to do is the same."""
    checkpoint_folder(tmp_path).mkdir()
    old = {"version": 3, "training": "ab" * 16, "round": 1, "clusters": {"0": 0}, "method": {"beta": 10}}
    state_file(tmp_path).write_text(json.dumps(old))
    with pytest.raises(CheckpointError, match=f"by an older version of this program: 3, not {VERSION}; "):
        read_checkpoint(tmp_path)


def test_what_is_not_a_tensor_is_this(checkpointed, tmp_path):
    found = read_checkpoint(tmp_path).state
    assert set(found.model_dump()) == {
        *("version", "training", "round", "origin", "settings", "clients", "kept", "trained"),
        *("facts", "tensors", "sha256"),
    }
    assert all(isinstance(kept, Kept) for kept in found.kept.values())
