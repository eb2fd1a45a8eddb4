"""States of methods for classifiers that are damaged, or of another run, are refused by name."""

import pytest
import torch

from huscf_flwr.methods.contract import State
from huscf_flwr.run.checkpoint import CheckpointError, read_checkpoint, save_checkpoint
from huscf_flwr.run.rounds import Rounds
from tests.methods.classifiers import small_classifiers, with_labels
from tests.run.builders import METHODS, assert_same_state

IMAGES = {0: with_labels(1, 1, 2), 1: with_labels(2, 9, 9, 4, 4)}
CLASSIFYING = ("fedproto", "fedvtc", "fedtgp", "fedgen", "gefl", "ccvr", "fedtype")


@pytest.fixture(params=CLASSIFYING)
def training(request, tmp_path):
    """Rounds of a method of which as many are done as its state needs to have all of its tensors."""
    settings = {"model.width": 0.03, "rounds": 2, "name": "small", **METHODS[request.param]}
    found = small_classifiers(tmp_path, IMAGES, **settings)
    for _ in range(2 if request.param in ("fedvtc", "ccvr") else 1):
        found.train()
    return found


def spoilt(state, how):
    """The state with one thing wrong; and what is to be said of it."""
    name, tensor = next(
        (n, t) for n, t in reversed(state.tensors.items()) if t.is_floating_point() and t.ndim
    )
    match how:
        case "lacking":
            changed, said = {}, "without .*"
        case "another shape":
            changed, said = {name: torch.zeros(*tensor.shape, 2)}, r" as torch\.float.*, not torch\.float"
        case "another type":
            changed, said = {name: tensor.to(torch.int64)}, r" as torch\.int64 .*, not torch\.float"
        case _:
            changed, said = {name: tensor * float("nan")}, " with numbers that are not finite"
    rest = {key: each for key, each in state.tensors.items() if key != name}
    return State(state.facts, {**rest, **changed}), said


@pytest.mark.parametrize("how", ["lacking", "another shape", "another type", "not a number"])
def test_a_state_that_is_not_of_this_run_is_refused_and_changes_nothing(training, how):
    before = training.method.state().copied()
    state, said = spoilt(before, how)
    with pytest.raises(ValueError, match=f"^has .*{said}") as caught:
        training.method.load(state)
    assert "\n" not in str(caught.value)
    assert_same_state(training.method.state(), before)
    training.method.load(before)


def test_a_state_with_something_else_in_it_is_refused(training):
    before = training.method.state()
    stranger = State(before.facts, {**before.tensors, "stranger": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"^has .* with stranger, which nobody asked for"):
        training.method.load(stranger)


def test_the_file_is_named(training, tmp_path, monkeypatch):
    state, said = spoilt(training.method.state().copied(), "another shape")
    with monkeypatch.context() as patched:
        patched.setattr(training.method, "state", lambda: state)
        save_checkpoint(training.rounds, tmp_path)
    file = rf"checkpoint.server-000{training.rounds.number}\.safetensors"
    with pytest.raises(CheckpointError, match=rf"^resume: the checkpoint in .*{file} has .*{said}"):
        read_checkpoint(tmp_path).restore(Rounds(training.config, training.method))
