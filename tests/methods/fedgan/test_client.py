"""One client is plain training: a loop of the tests' own, in plain PyTorch, gives the same to the bit."""

import math

import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import build_network, flatten_blocks, model_spec_of
from huscf_flwr.run.client_files import load_private
from huscf_flwr.seeding import torch_stream
from tests.run.builders import assert_same_to_the_bit, images_of_client, small_run, training_of

SAMPLES = 21


@pytest.fixture
def make(tmp_path):
    def training(name="small", **settings):
        given = {"model.width": 0.03, "compute.precision": "float64", "optimiser.learning_rate": 1e-3}
        config = small_run(
            tmp_path, tmp_path, name=name, method="fedgan", clients=1, local_epochs=2, **given, **settings
        )
        return training_of(config, samples={0: SAMPLES})

    return training


class PlainTraining:
    """Two networks, two optimisers, and a loop."""

    def __init__(self, config, images):
        self.config, self.images, self.spec = config, images, model_spec_of(config)
        self.networks = {
            name: build_network(self.spec, name, seed=config.seed, dtype=torch.float64)
            for name in ("generator", "discriminator")
        }
        self.adam = {
            name: torch.optim.Adam(trained_of(network), lr=1e-3, betas=(0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def train_round(self, number):
        """Train two passes; return the mean losses."""
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        losses = {"discriminator": [], "generator": []}
        for images, labels, latents in self.batches(number):
            fakes = generator(latents, labels)
            for_fakes = discriminator(fakes.detach(), labels)
            for_images = discriminator(images, labels)
            loss = cross_entropy(for_fakes, 0) + cross_entropy(for_images, 1)
            self.take_step("discriminator", loss)
            losses["discriminator"].append(loss.item())

            loss = cross_entropy(discriminator(fakes, labels), 1)
            self.take_step("generator", loss)
            losses["generator"].append(loss.item())
        return {name: sum(values) / len(values) for name, values in losses.items()}

    def take_step(self, name, loss):
        for adam in self.adam.values():
            adam.zero_grad()
        loss.backward()
        self.adam[name].step()

    def batches(self, number):
        shuffle = torch_stream(self.config.seed, "order", 0, number)
        noise = torch_stream(self.config.seed, "latents", 0, number)
        for _ in range(2):
            order = torch.randperm(len(self.images), generator=shuffle)
            for start in range(0, len(order), self.config.batch_size):
                chosen = order[start : start + self.config.batch_size]
                latents = torch.randn(len(chosen), self.spec.latent, generator=noise, dtype=torch.float64)
                images = self.images.images[chosen].to(torch.float64) / 127.5 - 1
                yield images, self.images.labels[chosen], latents

    def states(self):
        return {
            f"{name}.{key}": tensor
            for name, network in self.networks.items()
            for key, tensor in network.state_dict().items()
        }

    def moments(self):
        return {
            f"{name}.{key}.{moment}": self.adam[name].state[parameter][moment]
            for name, network in self.networks.items()
            for key, parameter in network.named_parameters()
            if parameter.requires_grad
            for moment in ("step", "exp_avg", "exp_avg_sq")
        }


def trained_of(network):
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def cross_entropy(logits, target):
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def kept_by(training):
    """What the only client has kept of the round that is over."""
    return load_private(training.folder, 0, training.rounds.kept[0])


@pytest.mark.parametrize("buffers", ["average", "total-variance"])
def test_one_client_equals_plain_training_to_the_bit(make, buffers):
    training = make(**{"fedgan.buffers": buffers})
    plain = PlainTraining(training.config, images_of_client(0, SAMPLES))
    for number in (1, 2, 3):
        closed = training.train()
        expected = plain.train_round(number)
        assert closed.collected.uploads[0].losses == expected
        assert_same_to_the_bit(flatten_blocks(training.method.networks), plain.states())
        assert_same_to_the_bit(kept_by(training), plain.moments())


def test_the_moments_of_a_client_outlive_its_process(make):
    """The same host goes on, or one that has only the client's file: the same to the bit."""
    lasting, dying = make("lasting"), make("dying")
    for _ in range(3):
        dying.new_host()
        lasting.train()
        dying.train()
    assert_same_to_the_bit(flatten_blocks(dying.method.networks), flatten_blocks(lasting.method.networks))


def test_a_round_begins_with_the_servers_networks_and_the_clients_moments(make):
    training = make()
    training.train()
    moments = kept_by(training)
    client = training.make_client(0)
    client.load_private(moments)
    order = training.method.orders(2, [0]).of(0)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in order.tensors[NETWORKS].items()}
    client.begin(2, Order(tensors={NETWORKS: zeros}))
    assert_same_to_the_bit(client.upload().tensors[NETWORKS], zeros)
    assert_same_to_the_bit(client.private(), moments)


@pytest.mark.parametrize(("samples", "epochs"), [(21, 2), (8, 3), (1, 1)])
def test_an_epoch_is_a_pass_over_the_clients_own_images(tmp_path, samples, epochs):
    config = small_run(
        tmp_path, tmp_path, method="fedgan", clients=2, local_epochs=epochs, **{"model.width": 0.01}
    )
    training = training_of(config, samples={0: samples, 1: 40})
    client = training.make_client(0)
    client.begin(1, training.method.orders(1, [0]).of(0))
    assert len(list(client.train())) == epochs * math.ceil(samples / 8)
