import pytest
import torch

from huscf_flwr.methods import method_named
from huscf_flwr.methods.fsgan import FSGAN
from huscf_flwr.models import flatten_blocks
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


class PlainFSGAN(Plain):
    """One batch for all, the sum of their losses, and the plain mean of discriminators."""

    def step(self, number, step, real, judging=None):
        """``judging`` are those whose losses the generator learns from; all, if nothing is said."""
        fakes = self.fakes(number, step)
        for client in real:
            self.train_discriminator(client, fakes, next(real[client]))
        judges = real if judging is None else judging
        total = sum(cross_entropy(self.discriminators[client](*fakes), 1.0) for client in judges)
        if judges:
            self.take_step("generator", total)

    def train_round(self, number, steps):
        real = {client: self.real_batches(client, number) for client in self.images}
        for step in range(1, steps + 1):
            self.step(number, step, real)
        copies = [each.state_dict() for each in self.discriminators.values()]
        mean = {
            name: torch.stack([own[name].double() for own in copies]).mean(0).to(tensor.dtype)
            for name, tensor in copies[0].items()
        }
        for each in self.discriminators.values():
            each.load_state_dict(mean)


@pytest.fixture
def make(tmp_path):
    def training(**settings):
        return server_training(tmp_path, "fsgan", **settings)

    return training


def test_its_name_finds_it():
    assert method_named("fsgan") is FSGAN


def test_rounds_are_those_of_plain_training(make):
    """Sum of losses, and a mean of discriminators that does not look at how many images there are."""
    training = make()
    plain = PlainFSGAN(training, own=False)
    for number in (1, 2):
        closed = training.train()
        plain.train_round(number, steps=2)
        assert_equal_networks(weights_of(training.method.generator), plain.generator)
        assert_equal_networks(flatten_blocks(training.method.discriminator), plain.discriminators[0])
        weights = {k: facts["weight"] for k, facts in closed.outcome.clients.items()}
        assert weights == pytest.approx(dict.fromkeys(range(3), 1 / 3))


@pytest.mark.parametrize("gone", [{1: 2}, {0: 2, 1: 2, 2: 2}])
def test_the_sum_is_over_those_whose_gradients_came(make, gone):
    training = make()
    executor, members = begun(training)
    run_step(executor, members, gone=gone)
    plain = PlainFSGAN(training, own=False)
    real = {client: plain.real_batches(client, 1) for client in (0, 1, 2)}
    plain.step(1, 1, real, judging=[client for client in (0, 1, 2) if client not in gone])
    weights = weights_of(training.method.generator)
    trained = {name: each for name, each in weights.items() if "running" not in name and "num" not in name}
    expected = dict(plain.generator.named_parameters())
    for name, tensor in trained.items():
        torch.testing.assert_close(
            tensor, expected[name.removeprefix("generator.")], rtol=0, atol=1e-10, msg=name
        )
    moments = [name for name in training.method.generator.tensors() if name.startswith("moments/")]
    assert bool(moments) is (len(gone) < 3)


def test_the_same_batch_goes_to_everybody_and_crosses_once(make):
    executor, members = begun(make())
    sent = run_step(executor, members)[1]
    assert all(len(frame) == 2 for frame in sent.values())
    for images, labels in sent.values():
        assert torch.equal(images, sent[0][0])
        assert torch.equal(labels, sent[0][1])


def test_clients_that_drop_out_are_in_no_average(make):
    training = make()
    closed = training.train(absent=(0,))
    sent = [upload.tensors["discriminator"] for upload in closed.collected.uploads.values()]
    assert len(sent) == 2
    for name, tensor in flatten_blocks(training.method.discriminator).items():
        mean = (sent[0][name].double() + sent[1][name].double()) / 2
        torch.testing.assert_close(tensor, mean.to(tensor.dtype), rtol=0, atol=1e-12, msg=name)


def test_everybody_starts_with_the_average_which_travels_once_to_each_host(make):
    training = make()
    training.train()
    average = flatten_blocks(training.method.discriminator)
    size = sum(each.numel() * each.element_size() for each in average.values())
    opened = training.rounds.open([[0, 2], [1]])
    for client in (0, 1, 2):
        assert_same_to_the_bit(opened.orders.of(client).tensors["discriminator"], average)
    assert opened.ledger.by_kind("down") == {"discriminator": 2 * size}
