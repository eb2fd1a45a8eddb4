"""Checkpoints that are damaged or of another run are refused; what may differ, what the small file has."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest

from huscf_flwr.conf_files import find_conf
from huscf_flwr.config import keep_named_files
from huscf_flwr.methods.contract import Kept
from huscf_flwr.models import Cut
from huscf_flwr.run import checkpoint
from huscf_flwr.run.checkpoint import (
    VERSION,
    CheckpointError,
    checkpoint_folder,
    read_checkpoint,
    save_checkpoint,
)
from tests.run.builders import SAMPLES, small_run
from tests.run.checkpoints import flip_a_byte, once_saved, restored, small_training, state_file


@pytest.fixture
def make(tmp_path):
    return partial(small_training, tmp_path)


@pytest.fixture
def saved(make, tmp_path):
    return once_saved(make(), tmp_path)


@pytest.fixture(scope="module")
def one_checkpoint(tmp_path_factory):
    """A folder with a checkpoint of one round, to be copied."""
    folder = tmp_path_factory.mktemp("saved")
    once_saved(small_training(folder), folder)
    return checkpoint_folder(folder)


@pytest.fixture
def checkpointed(one_checkpoint, tmp_path):
    """The folder of the test has a checkpoint of one round, to be read or damaged."""
    shutil.copytree(one_checkpoint, checkpoint_folder(tmp_path))


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


def test_fewer_rounds_than_the_checkpoint_has_are_named(saved, make, tmp_path):
    saved.train()
    save_checkpoint(saved.rounds, tmp_path)
    with pytest.raises(CheckpointError) as told:
        restored(make(rounds=1), tmp_path, 2)
    assert str(told.value).endswith(
        "is of round 2, and this run has 1: set rounds to at least 2, or start again without resume: no "
        "earlier one is kept (checkpoint.keep_last)"
    )


@pytest.mark.parametrize(
    ("method", "own", "enough"),
    [("huscf", 5, 5), ("mdgan", 5, 3), ("mdgan", 6, 3), ("fedvtc", 5, 4)],
)
def test_rounds_that_a_method_counts_otherwise_are_told_as_the_setting_that_is_enough(
    method, own, enough, checkpointed, tmp_path
):
    """MD-GAN has ``rounds * local_epochs`` rounds, and FedVTC one more than ``rounds``."""
    saved = read_checkpoint(tmp_path)
    later = replace(saved, state=saved.state.model_copy(update={"round": own}))
    short, as_told = (
        small_run(tmp_path, tmp_path, method=method, local_epochs=2, rounds=rounds) for rounds in (1, enough)
    )
    with pytest.raises(CheckpointError, match=f"is of round {own}, .*: set rounds to at least {enough}, or"):
        later.check_rounds(short)
    with pytest.raises(CheckpointError):
        later.check_rounds(as_told.model_copy(update={"rounds": enough - 1}))
    later.check_rounds(as_told)


def test_earlier_rounds_that_are_kept_are_named_with_the_setting_that_goes_back_to_them(make, tmp_path):
    training = once_saved(make(**{"checkpoint.keep_last": 2}), tmp_path)
    training.train()
    save_checkpoint(training.rounds, tmp_path)
    with pytest.raises(CheckpointError) as told:
        restored(make(rounds=1), tmp_path)
    assert str(told.value).endswith("set rounds to at least 2, or resume_round to one of those kept, 1")
    assert restored(make(rounds=1), tmp_path, 1).rounds.number == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"mode": "parity"}, "huscf.beta"),
        ({"huscf.beta": 3}, "huscf.beta"),
        ({"method": "fedgan"}, r"huscf.beta \(was 10.0, is not set\), .*method \(was huscf, is fedgan\)"),
        ({"optimiser.learning_rate": 1}, "optimiser.learning-rate"),
        ({"data.held_out": 0.5}, "data.held-out"),
        (
            {"fraction_train": 0.5, "min_train_clients": 2},
            r"fraction-train \(was 1.0, is 0.5\), min-train-clients \(was 1, is 2\)\. Leave",
        ),
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
        ({}, "two", "other images of digits or letters"),
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


@pytest.mark.parametrize(
    ("setting", "kind", "before", "after", "named"),
    [
        ("data.scenario", "scenarios", "domains: [digits]", "domains: [letters]", "another scenario"),
        ("cuts.devices", "devices", None, None, "other device profiles"),
    ],
)
def test_of_a_file_that_has_changed_since_the_runs_own_copy_is_named(
    make, tmp_path, setting, kind, before, after, named
):
    mine = tmp_path / "mine.yaml"
    mine.write_text(before or find_conf(kind, "paper").read_text())
    settings = {setting: mine, **({"data.domains": "null"} if before else {})}
    training = make(**settings)
    save_checkpoint(training.rounds, tmp_path)
    keep_named_files(training.rounds.config, tmp_path)
    mine.write_text(after or find_conf(kind, "slow").read_text())
    copy = tmp_path / "conf" / f"{kind}.yaml"
    with pytest.raises(CheckpointError, match=rf"{named}, .* kept a copy \(--set {setting}={copy}\)"):
        restored(make(**settings), tmp_path)
    again = restored(make(**{**settings, setting: copy}), tmp_path)
    assert again.rounds.training == training.rounds.training


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
