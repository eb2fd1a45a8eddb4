import pytest
import torch

from huscf_flwr.methods import method_named
from huscf_flwr.methods.mdgan import MDGAN
from tests.methods.server_generator.plain import (
    Plain,
    assert_equal_networks,
    begun,
    cross_entropy,
    run_step,
    server_training,
    weights_of,
)
from tests.run.builders import assert_same_to_the_bit


class PlainMDGAN(Plain):
    """Algorithm 1, and a swap as the run says that it was."""

    def step(self, number, step, real, batches, judging=None):
        """``batches`` is k; ``judging`` are those whose feedback comes, all if nothing is said."""
        drawn = [self.fakes(number, step, batch) for batch in range(1, batches + 1)]
        losses = []
        for n, client in enumerate(sorted(real), start=1):
            self.train_discriminator(client, drawn[(n + 1) % batches], next(real[client]))
            if judging is None or client in judging:
                losses.append(cross_entropy(self.discriminators[client](*drawn[n % batches]), 1.0))
        if losses:
            self.take_step("generator", sum(losses) / len(losses))

    def train_round(self, number, steps, batches):
        real = {client: self.real_batches(client, number) for client in self.images}
        for step in range(1, steps + 1):
            self.step(number, step, real, batches)

    def swap(self, givers):
        states = {
            client: {name: tensor.clone() for name, tensor in each.state_dict().items()}
            for client, each in self.discriminators.items()
        }
        for client, giver in givers.items():
            self.discriminators[client].load_state_dict(states[giver])


@pytest.fixture
def make(tmp_path):
    def training(**settings):
        return server_training(tmp_path, "mdgan", **settings)

    return training


def givers_of(closed):
    return {client: facts["discriminator_of"] for client, facts in closed.outcome.clients.items()}


def test_its_name_finds_it():
    assert method_named("mdgan") is MDGAN


@pytest.mark.parametrize("initialisation", ["common", "per-client"])
@pytest.mark.parametrize(("batches", "count"), [(1, 1), (2, 2), ("log", 2), (7, 3)])
def test_rounds_are_those_of_algorithm_1(make, batches, count, initialisation):
    """Two steps, a swap, and two steps with the discriminators of others; moments stay with the clients."""
    training = make(**{"mdgan.batches": batches, "mdgan.initialisation": initialisation})
    plain = PlainMDGAN(training, own=initialisation == "per-client")
    for number in (1, 2):
        closed = training.train()
        plain.train_round(number, steps=2, batches=count)
        assert_equal_networks(weights_of(training.method.generator), plain.generator)
        for client, network in plain.discriminators.items():
            assert_equal_networks(closed.collected.uploads[client].tensors["discriminator"], network)
        plain.swap(givers_of(closed))
        for client, network in plain.discriminators.items():
            assert_equal_networks(training.method.waiting[client], network)


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_batches_go_to_whom_the_formula_says(make, batches):
    executor, members = begun(make(**{"mdgan.batches": batches}))
    drawn = [executor.fakes(1, batch).detached() for batch in range(1, batches + 1)]
    sent = run_step(executor, members)[1]
    for n, client in enumerate((0, 1, 2), start=1):
        learnt, judged = drawn[(n + 1) % batches], drawn[n % batches]
        images, labels, judged_images, judged_labels = sent[client]
        # The weights have moved since, but labels and places of batches have not.
        assert torch.equal(labels, learnt.labels)
        assert torch.equal(judged_labels, judged.labels)
        assert torch.equal(images, judged_images) is (batches == 1)
    assert torch.equal(sent[0][0], sent[2][0]) is (batches < 3)


@pytest.mark.parametrize("gone", [{1: 2}, {0: 2, 2: 2}, {0: 2, 1: 2, 2: 2}])
def test_feedback_is_averaged_over_those_whose_came(make, gone):
    """Whoever drops out within the step has learnt, and the places of the others stay what they were."""
    training = make(**{"mdgan.batches": 2})
    executor, members = begun(training)
    run_step(executor, members, gone=gone)
    plain = PlainMDGAN(training, own=False)
    real = {client: plain.real_batches(client, 1) for client in (0, 1, 2)}
    plain.step(1, 1, real, 2, judging={0, 1, 2} - gone.keys())
    assert_equal_networks(weights_of(training.method.generator), plain.generator)
    moments = [name for name in training.method.generator.tensors() if name.startswith("moments/")]
    assert bool(moments) is (len(gone) < 3)


def test_the_next_order_brings_each_client_the_discriminator_of_another(make):
    training = make()
    closed = training.train()
    orders, givers = training.method.orders(2, [0, 1, 2]), givers_of(closed)
    assert all(client != giver for client, giver in givers.items())
    sent = {
        client: {name: tensor.clone() for name, tensor in upload.tensors["discriminator"].items()}
        for client, upload in closed.collected.uploads.items()
    }
    for client, giver in givers.items():
        assert_same_to_the_bit(orders.of(client).tensors["discriminator"], sent[giver])


def test_there_is_no_discriminator_to_bring_in_the_first_round(make):
    orders = make().method.orders(1, [0, 1, 2])
    assert all(orders.of(client).tensors == {} for client in (0, 1, 2))


def test_discriminators_cross_only_where_they_are_swapped(make):
    """After the second round and the fourth: up then, and down in the round that follows."""
    training = make(**{"mdgan.swap_every": 2})
    up, down = [], []
    for _ in range(4):
        closed = training.train()
        up.append({k: set(each.tensors) for k, each in closed.collected.uploads.items()})
        down.append({k: set(closed.opened.orders.of(k).tensors) for k in (0, 1, 2)})
    nothing = {client: set() for client in (0, 1, 2)}
    all_of_them = {client: {"discriminator"} for client in (0, 1, 2)}
    assert up == [nothing, all_of_them, nothing, all_of_them]
    assert down == [nothing, nothing, all_of_them, nothing]


def test_a_discriminator_goes_on_between_swaps(make):
    """Plain training without any swap."""
    training = make(**{"mdgan.swap_every": 3, "mdgan.batches": 2})
    plain = PlainMDGAN(training, own=False)
    for number in (1, 2):
        training.new_host()
        training.train()
        plain.train_round(number, steps=2, batches=2)
    assert_equal_networks(weights_of(training.method.generator), plain.generator)
    for client, network in plain.discriminators.items():
        assert_equal_networks(training.host._clients[client].states(), network)


@pytest.mark.parametrize(("moments", "step"), [("kept", 4), ("reset", 2)])
def test_moments_stay_with_the_client_or_are_forgotten_with_another_discriminator(make, moments, step):
    """A round has two steps."""
    training = make(**{"mdgan.moments": moments})
    for _ in range(2):
        training.train()
    counts = {
        float(tensor)
        for name, tensor in training.host._clients[0].private().items()
        if name.endswith(".step")
    }
    assert counts == {step}


def test_swaps_are_among_those_that_took_part_to_the_end(make):
    training = make()
    training.train()
    before = {name: tensor.clone() for name, tensor in training.method.waiting[1].items()}
    closed = training.train(absent=(1,))
    assert givers_of(closed) == {0: 2, 2: 0}
    # It has not finished a round with the one that it was given, so that is brought again.
    assert_same_to_the_bit(training.method.orders(3, [1]).of(1).tensors["discriminator"], before)


def test_who_is_left_out_of_a_round_is_brought_its_discriminator_in_its_next(make):
    training = make()
    training.train()
    waiting = {name: tensor.clone() for name, tensor in training.method.waiting[2].items()}
    training.train(clients=[0, 1])
    assert_same_to_the_bit(training.method.waiting[2], waiting)
    closed = training.train()
    assert_same_to_the_bit(closed.opened.orders.of(2).tensors["discriminator"], waiting)


def test_a_single_client_keeps_its_own(make):
    training = make(samples={0: 16})
    closed = training.train()
    assert givers_of(closed) == {0: 0}
    assert_same_to_the_bit(training.method.waiting[0], closed.collected.uploads[0].tensors["discriminator"])


def test_discriminators_that_wait_are_in_the_state(make):
    first, second = make(), make()
    first.train()
    second.train()
    first.method.load(second.method.state().copied())
    del second
    assert set(first.method.waiting) == {0, 1, 2}
    state = first.method.state().tensors
    names = {name for name in state if name.startswith("client-1/discriminator.")}
    assert len(names) == len(first.method.waiting[1])


def test_what_crosses_in_a_step_is_two_batches_down_and_one_gradient_up(make):
    """Bytes of two steps of three clients, by hand: batches of 8 images of 784 pixels in float64."""
    training = make()
    closed = training.train()
    size = sum(each.numel() * each.element_size() for each in training.method.waiting[0].values())
    images, labels = 2 * 3 * 8 * 784 * 8, 2 * 3 * 8 * 8
    assert closed.opened.ledger.by_kind("down") == {
        "fakes": images,
        "labels of fakes": labels,
        "judged fakes": images,
        "labels of judged fakes": labels,
    }
    assert closed.opened.ledger.by_kind("up") == {"gradient at fakes": images, "discriminator": 3 * size}
