"""Training alone is training as in the methods that share, without what is shared: the same to the bit."""

import math

import pytest
import torch
from torch.nn import functional

from huscf_flwr.methods import resolved
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.fedgan import FedGANClient
from huscf_flwr.methods.fedproto import FedProtoClient
from huscf_flwr.methods.local import LocalClassifierClient, LocalGeneratorClient
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import flatten_blocks, model_spec_of, sampler_of, with_measured_statistics
from tests.methods.classifiers import GivenImages
from tests.run.builders import (
    DEVICE,
    SMALL_FAMILY,
    assert_same_to_the_bit,
    images_of_client,
    private_tensors,
    small_run,
)

SAMPLES = {0: 16, 1: 9, 2: 5}


@pytest.fixture
def config(tmp_path):
    settings = {
        "model.width": 0.03,
        "compute.precision": "float64",
        "optimiser.learning_rate": 1e-3,
        "classifier.family": SMALL_FAMILY,
        "classifier.learning_rate": 0.1,
    }
    return lambda method="local", **more: resolved(
        small_run(tmp_path, tmp_path, method=method, clients=3, local_epochs=2, **settings, **more)
    )


def client_of(kind, config, client):
    return kind(client, images_of_client(client, SAMPLES[client]), DEVICE, config)


def train(member, number, order=None):
    member.begin(number, order or Order())
    return list(member.train())


def networks_of(member):
    return flatten_blocks(member.networks.states())


@pytest.mark.parametrize("client", [0, 2])
def test_generator_and_discriminator_train_as_fedgans_do_between_two_averages(config, client):
    alone = client_of(LocalGeneratorClient, config(), client)
    sharing = client_of(FedGANClient, config("fedgan"), client)
    networks = {name: tensor.clone() for name, tensor in networks_of(alone).items()}
    for number in (1, 2, 3):
        found = train(alone, number)
        expected = train(sharing, number, Order(tensors={NETWORKS: networks}))
        assert found == expected
        assert len(found) == 2 * math.ceil(SAMPLES[client] / 8)
        networks = {name: tensor.clone() for name, tensor in sharing.upload().tensors[NETWORKS].items()}
        assert_same_to_the_bit(networks_of(alone), networks)


@pytest.mark.parametrize("client", [0, 1])
def test_a_classifier_trains_as_fedprotos_does_without_global_means(config, client):
    alone = client_of(LocalClassifierClient, config(), client)
    sharing = client_of(FedProtoClient, config("fedproto"), client)
    for number in (1, 2):
        found, expected = train(alone, number), train(sharing, number)
        assert [each["classifier"] for each in found] == [each["classifier"] for each in expected]
        assert all(each.keys() == {"classifier"} for each in found)
    assert_same_to_the_bit(alone.private(), sharing.private())


def test_every_client_begins_with_generators_of_its_own(config):
    first, second, again = (networks_of(client_of(LocalGeneratorClient, config(), k)) for k in (0, 1, 0))
    assert_same_to_the_bit(again, first)
    assert first.keys() == second.keys()
    name = "generator.0.main.weight"
    assert not torch.equal(first[name], second[name])


@pytest.mark.parametrize("task", ["generator", "classifier"])
def test_clients_that_stay_in_their_process_are_the_same_to_the_bit(config, task):
    """Clients that live on, against those that begin each round with what they kept."""
    images = {client: images_of_client(client, count) for client, count in SAMPLES.items()}
    training = GivenImages(config(**{"local.task": task}), images)
    clients = {client: training.make_client(client) for client in SAMPLES}
    for number in (1, 2, 3):
        closed = training.train()
        for client, member in clients.items():
            losses = train(member, number)
            names = closed.collected.uploads[client].losses
            assert names == {name: sum(each[name] for each in losses) / len(losses) for name in names}
    kept = private_tensors(training.config.folder)
    for client, member in clients.items():
        prefix = f"client-{client}-round-0003/"
        own = {name.removeprefix(prefix): t for name, t in kept.items() if name.startswith(prefix)}
        assert_same_to_the_bit(own, member.private())


@pytest.mark.parametrize("kind", [LocalGeneratorClient, LocalClassifierClient])
def test_without_anything_kept_a_client_starts_anew(config, kind):
    fresh, loaded = (client_of(kind, config(), 1) for _ in range(2))
    loaded.load_private({})
    assert_same_to_the_bit(loaded.private(), fresh.private())


def test_its_generator_draws_with_running_statistics_that_are_measured_anew(config):
    member = client_of(LocalGeneratorClient, config(), 1)
    train(member, 1)
    before = {name: tensor.clone() for name, tensor in networks_of(member).items()}
    labels = torch.arange(5)
    found = member.sampler()(labels, torch.Generator().manual_seed(0))
    spec = model_spec_of(member.config)
    states = {k: state for k, state in member.networks.states().items() if k[0] == "generator"}
    measured = with_measured_statistics(spec, states, torch.float64, seed=member.config.seed)
    expected = sampler_of(spec, measured, torch.float64)(labels, torch.Generator().manual_seed(0))
    assert torch.equal(found, expected)
    assert found.shape == (5, 1, 28, 28)
    assert_same_to_the_bit(networks_of(member), before)


def test_what_draws_does_not_change_with_further_training(config):
    member = client_of(LocalGeneratorClient, config(), 1)
    sampler, labels = member.sampler(), torch.arange(3)
    before = sampler(labels, torch.Generator().manual_seed(0))
    train(member, 1)
    assert torch.equal(sampler(labels, torch.Generator().manual_seed(0)), before)
    assert not torch.equal(member.sampler()(labels, torch.Generator().manual_seed(0)), before)


def test_its_classifier_learns_its_own_images(config):
    member = client_of(LocalClassifierClient, config(), 0)
    assert member.classifiers().keys() == {""}
    images = member.images.images.double() / 127.5 - 1
    losses = []
    for number in range(1, 31):
        train(member, number)
        losses.append(functional.cross_entropy(member.classifiers()[""](images), member.images.labels).item())
    assert losses[-1] < losses[0] / 2
