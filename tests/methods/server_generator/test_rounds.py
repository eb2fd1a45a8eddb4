"""Rounds of all three methods: who takes part, how long they are, and what they show."""

import pytest
import torch

from huscf_flwr.methods import method_of
from tests.methods.server_generator.plain import server_training, weights_of
from tests.run.builders import assert_same_state, assert_same_to_the_bit

METHODS = ("mdgan", "uagan", "fsgan")
ROUNDS, STEPS = {"mdgan": 12, "fsgan": 12, "uagan": 4}, {"mdgan": 2, "fsgan": 2, "uagan": 6}


@pytest.fixture(params=METHODS)
def make(request, tmp_path):
    def training(name="small", **settings):
        return server_training(tmp_path / name, request.param, **settings)

    return training


def test_a_round_is_one_epoch_unless_nothing_happens_between_epochs(make):
    """Four rounds of three epochs; the largest client has two batches."""
    training = make(rounds=4, local_epochs=3)
    name = training.config.method
    assert method_of(training.config).rounds(training.config) == ROUNDS[name]
    assert training.method.steps(1, [0, 1, 2]) == STEPS[name]
    assert training.method.steps(1, [2]) == STEPS[name] / 2
    assert training.rounds.left == ROUNDS[name]


def test_its_product_is_one_generator_for_everybody(make):
    training = make()
    training.train()
    (product,) = training.method.products()
    assert (product.name, product.clients) == ("global", (0, 1, 2))
    assert product.tensors.keys() == weights_of(training.method.generator).keys()
    sample = type(training.method).sampler(training.config, product.tensors)
    images = sample(torch.arange(4), torch.Generator().manual_seed(0))
    assert images.shape == (4, 1, 28, 28)
    assert training.method.clusters() == {}


def test_a_round_with_some_of_the_clients_leaves_the_others_as_they_are(make):
    training = make()
    training.train()
    before = dict(training.rounds.kept)
    closed = training.train(clients=[0, 2])
    assert sorted(closed.collected.uploads) == [0, 2]
    assert training.rounds.kept[1] == before[1]
    assert sorted(training.train().collected.uploads) == [0, 1, 2]


def test_a_round_that_is_taken_back_comes_out_the_same(make):
    once, twice = make("once"), make("twice")
    for training in (once, twice):
        training.train()
    twice.begin()
    twice.rounds.take_back()
    for training in (once, twice):
        training.train()
    assert_same_state(twice.method.state(), once.method.state())


def test_a_state_is_all_that_the_server_must_remember(make):
    first, second = make("first"), make("second")
    first.train()
    second.method.load(first.method.state().copied())
    assert_same_state(second.method.state(), first.method.state())
    (mine,), (theirs,) = second.method.products(), first.method.products()
    assert_same_to_the_bit(mine.tensors, theirs.tensors)


def test_a_state_does_not_change_with_what_the_clients_do_next(make):
    training = make()
    training.train()
    state = training.method.state()
    weights, kept = weights_of(training.method.generator).keys(), state.copied()
    training.begin()
    for name, tensor in kept.tensors.items():
        is_of_generator = name.startswith(("weights/", "moments/"))
        assert is_of_generator or torch.equal(state.tensors[name], tensor), name
    assert weights


@pytest.mark.parametrize("numbers", [{"compute.precision": "bfloat16"}, {"wire.preset": "smallest"}], ids=str)
def test_it_trains_in_narrow_numbers_and_over_a_narrow_wire(make, numbers):
    training = make(**{"compute.precision": "float32", **numbers})
    for _ in range(2):
        closed = training.train()
    assert sorted(closed.collected.uploads) == [0, 1, 2]
    assert all(each.isfinite().all() for each in training.method.state().tensors.values())
