"""One step and one round are those of a loop of the tests' own, in plain PyTorch."""

import pytest
import torch

from huscf_flwr.methods.hflgan.weights import initial_global_generator
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import build_network, flatten_blocks, model_spec_of
from huscf_flwr.run.client_files import load_private
from huscf_flwr.seeding import torch_stream
from tests.methods.fedgan.test_client import cross_entropy, trained_of
from tests.run.builders import assert_same_to_the_bit, images_of_client, small_run, training_of

SAMPLES = 21
NAMES = ("local", "global", "discriminator")


@pytest.fixture
def make(tmp_path):
    def training(name="small", **settings):
        given = {"model.width": 0.03, "compute.precision": "float64", "optimiser.learning_rate": 1e-3}
        given |= {"hflgan.clusters": 1, **settings}
        config = small_run(tmp_path, tmp_path, name=name, method="hflgan", clients=1, local_epochs=2, **given)
        return training_of(config, samples={0: SAMPLES})

    return training


class PlainTraining:
    """Three networks, three optimisers, and a loop."""

    def __init__(self, config, images):
        self.config, self.images, self.spec = config, images, model_spec_of(config)
        self.networks = {
            "local": build_network(self.spec, "generator", seed=config.seed, dtype=torch.float64),
            "global": initial_global_generator(config),
            "discriminator": build_network(self.spec, "discriminator", seed=config.seed, dtype=torch.float64),
        }
        self.adam = {
            name: torch.optim.Adam(trained_of(network), lr=1e-3, betas=(0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def train_round(self, number):
        """Train two passes; return the mean losses by network."""
        losses = {name: [] for name in NAMES}
        for images, labels, *latents in self.batches(number):
            discriminator = self.networks["discriminator"]
            fakes = {
                name: self.networks[name](each, labels)
                for name, each in zip(("local", "global"), latents, strict=True)
            }
            on_fakes = [cross_entropy(discriminator(each.detach(), labels), 0) for each in fakes.values()]
            loss = cross_entropy(discriminator(images, labels), 1) + 0.5 * on_fakes[0] + 0.5 * on_fakes[1]
            self.take_step("discriminator", loss)
            losses["discriminator"].append(loss.item())
            for name, each in fakes.items():
                loss = cross_entropy(discriminator(each, labels), 1)
                self.take_step(name, loss)
                losses[name].append(loss.item())
        return {name: sum(values) / len(values) for name, values in losses.items()}

    def take_step(self, name, loss):
        for adam in self.adam.values():
            adam.zero_grad()
        loss.backward()
        self.adam[name].step()

    def batches(self, number):
        names = ("order", "latents", "global latents")
        shuffle, *noises = (torch_stream(self.config.seed, name, 0, number) for name in names)
        for _ in range(2):
            order = torch.randperm(len(self.images), generator=shuffle)
            for chosen in order.split(self.config.batch_size):
                images = self.images.images[chosen].to(torch.float64) / 127.5 - 1
                size = len(chosen), self.spec.latent
                latents = [torch.randn(size, generator=noise, dtype=torch.float64) for noise in noises]
                yield images, self.images.labels[chosen], *latents

    def states(self, name):
        network = "discriminator" if name == "discriminator" else "generator"
        return {f"{network}.{key}": tensor for key, tensor in self.networks[name].state_dict().items()}


def test_one_client_equals_plain_training(make):
    """For rounds with and without the cloud; to rounding, since losses are added up in another order."""
    training = make()
    plain = PlainTraining(training.config, images_of_client(0, SAMPLES))
    for number in (1, 2, 3):
        closed = training.train()
        expected = plain.train_round(number)
        found = closed.collected.uploads[0].losses
        assert found["generator"] == pytest.approx(expected["local"], rel=1e-9)
        assert found["global_generator"] == pytest.approx(expected["global"], rel=1e-9)
        assert found["discriminator"] == pytest.approx(expected["discriminator"], rel=1e-9)
        (networks,) = training.method.networks.values()
        for name, tensor in {**plain.states("local"), **plain.states("discriminator")}.items():
            torch.testing.assert_close(flatten_blocks(networks)[name], tensor, rtol=0, atol=1e-9, msg=name)
        kept = load_private(training.folder, 0, training.rounds.kept[0])
        for name, tensor in plain.states("global").items():
            own = kept[f"global.weights.{name}"]
            torch.testing.assert_close(own, tensor, rtol=0, atol=1e-9, msg=name)


def test_the_two_generators_begin_differently(make):
    training = make()
    client = training.make_client(0)
    client.begin(1, training.method.orders(1, [0]).of(0))
    local = client.networks.generator.blocks.at(1).main.weight
    assert not torch.equal(local, client.global_generator.blocks.at(1).main.weight)


@pytest.mark.slow
def test_what_a_client_keeps_outlives_its_process(make):
    lasting, dying = make("lasting"), make("dying")
    for _ in range(3):
        dying.new_host()
        lasting.train()
        dying.train()
    assert_same_to_the_bit(dying.method.state().tensors, lasting.method.state().tensors)
    kept = [load_private(each.folder, 0, each.rounds.kept[0]) for each in (dying, lasting)]
    assert_same_to_the_bit(*kept)


def test_without_its_file_a_client_starts_anew_with_the_clusters_networks(make):
    training = make()
    training.train()
    client = training.make_client(0)
    client.load_private({})
    order = training.method.orders(2, [0]).of(0)
    client.begin(2, order)
    assert_same_to_the_bit(flatten_blocks(client.networks.states()), order.tensors[NETWORKS])
    assert_same_to_the_bit(
        flatten_blocks(client.global_generator.blocks.states()),
        flatten_blocks(initial_global_generator(training.config).states()),
    )


def test_fakes_have_the_labels_that_the_setting_says(make, monkeypatch):
    """Both generators are asked for labels drawn apart from the real ones, if these are not to be told."""
    training = make(**{"fake_labels": "uniform"})
    client = training.make_client(0)
    client.begin(1, training.method.orders(1, [0]).of(0))
    asked = {"local": [], "global": [], "images": []}
    for name, part in (("local", client.networks.generator), ("global", client.global_generator)):
        part.blocks.register_forward_pre_hook(lambda _, inputs, to=asked[name]: to.append(inputs[1]))
    client.networks.discriminator.blocks.register_forward_pre_hook(
        lambda _, inputs: asked["images"].append(inputs[1])
    )
    next(client.train())
    on_local, on_global, on_images, *_ = asked["images"]
    assert torch.equal(on_local, asked["local"][0])
    assert torch.equal(on_global, asked["global"][0])
    assert torch.equal(asked["local"][0], asked["global"][0])
    assert not torch.equal(on_images, on_local)
