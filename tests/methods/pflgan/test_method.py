"""Local rounds, comparison, and training at the server."""

import math

import pytest
import torch

from huscf_flwr.data.images import normalise
from huscf_flwr.methods.contract import Collected, Order, Upload
from huscf_flwr.methods.pflgan import PFLGAN
from huscf_flwr.methods.pflgan.crossing import PFLGANOrder
from huscf_flwr.methods.pflgan.sources import Sources
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import build_network, flatten_blocks, initial_states, model_spec_of, unflatten_blocks
from huscf_flwr.seeding import torch_stream
from tests.methods.fedgan.test_client import cross_entropy, trained_of
from tests.run.builders import (
    SAMPLES,
    assert_same_state,
    assert_same_to_the_bit,
    kept_files,
    small_run,
    training_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path):
    def training(samples=SAMPLES, **settings):
        given = {
            "model.width": 0.03,
            "method": "pflgan",
            "compute.precision": "float64",
            "rounds": 4,
            "pflgan.images": 40,
            "pflgan.components": 4,
            **settings,
        }
        return training_of(small_run(tmp_path, tmp_path, clients=len(samples), **given), samples=samples)

    return training


def networks_of(training, client):
    return flatten_blocks(training.method.networks[client])


def test_in_local_rounds_clients_train_alone(make):
    """Each goes on from what it had, and nobody else's weights are in it."""
    together, alone = make(), make()
    for _ in range(2):
        closed = together.train()
        alone.train(clients=[1])
        assert {facts["local"] for facts in closed.outcome.clients.values()} == {True}
    assert_same_to_the_bit(networks_of(alone, 1), networks_of(together, 1))
    orders = together.method.orders(2, [1])
    assert_same_to_the_bit(orders.of(1).tensors[NETWORKS], networks_of(together, 1))


@pytest.mark.parametrize(("rounds", "local"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3)])
def test_half_of_the_rounds_are_local(make, rounds, local):
    assert make(rounds=rounds).method.local_rounds == local


def test_more_local_rounds_than_rounds_are_refused(make):
    config = make(rounds=3, **{"pflgan.local_rounds": 3}).config
    PFLGAN.check(config)
    with pytest.raises(ValueError, match="local_rounds: 3, but rounds is 2; set the former to at most 2"):
        PFLGAN.check(config.model_copy(update={"rounds": 2}))


def take_step(adam, name, loss):
    for each in adam.values():
        each.zero_grad()
    loss.backward()
    adam[name].step()


def plain_training(config, client, networks, images, steps):
    """A few lines of adversarial training in plain PyTorch, with optimisers that begin anew."""
    spec = model_spec_of(config)
    nets = {name: build_network(spec, name, dtype=torch.float64) for name in ("generator", "discriminator")}
    for network in nets.values():
        network.load(unflatten_blocks(networks))
    adam = {
        name: torch.optim.Adam(trained_of(network), lr=2e-4, betas=(0.5, 0.999), fused=True)
        for name, network in nets.items()
    }
    generator, discriminator = nets["generator"], nets["discriminator"]
    shuffle = torch_stream(config.seed, "order", client, 2)
    noise = torch_stream(config.seed, "latents", client, 2)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        left = left if len(left) else torch.randperm(len(images), generator=shuffle)
        chosen, left = left[: config.batch_size], left[config.batch_size :]
        labels, real = images.labels[chosen], normalise(images.images[chosen], torch.float64)
        fakes = generator(torch.randn(len(chosen), spec.latent, generator=noise, dtype=torch.float64), labels)
        loss = cross_entropy(discriminator(fakes.detach(), labels), 0)
        loss = loss + cross_entropy(discriminator(real, labels), 1)
        take_step(adam, "discriminator", loss)
        take_step(adam, "generator", cross_entropy(discriminator(fakes, labels), 1))
    return {f"{name}.{key}": t for name, network in nets.items() for key, t in network.state_dict().items()}


def test_the_server_trains_where_the_client_stopped_on_as_many_images_for_as_many_steps(make):
    training = make(
        samples={0: 16, 1: 10, 2: 6},
        local_epochs=2,
        **{"pflgan.local_rounds": 1, "optimiser.learning_rate": 2e-4},
    )
    training.train()
    method = training.method
    before = {
        client: {n: t.clone() for n, t in networks_of(training, client).items()} for client in (0, 1, 2)
    }
    expected = {
        client: plain_training(
            training.config,
            client,
            before[client],
            method.sources.images_for(client, samples, 2),
            steps=2 * math.ceil(samples / 8),
        )
        for client, samples in {0: 16, 1: 10, 2: 6}.items()
    }
    closed = training.train()
    assert {facts["local"] for facts in closed.outcome.clients.values()} == {False}
    for client, tensors in expected.items():
        assert_same_to_the_bit(networks_of(training, client), tensors)


def test_moments_at_the_server_are_kept_from_round_to_round(make):
    training = make(**{"pflgan.local_rounds": 1})
    training.train()
    assert training.method.moments == {}
    for rounds in (1, 2):
        training.train()
        steps = {name: t for name, t in training.method.moments[0].items() if name.endswith(".step")}
        assert {int(step) for step in steps.values()} == {rounds * 2}


def test_clients_only_look_in_collaborative_rounds(make):
    """Their losses are those of a step that is not taken; they keep the moments that they had."""
    training = make(**{"pflgan.local_rounds": 1})
    training.train()
    client = training.make_client(1)
    before = {name: tensor.clone() for name, tensor in networks_of(training, 1).items()}
    client.begin(2, Order(facts=PFLGANOrder(local=False), tensors={NETWORKS: before}))
    (first, *others) = client.train()
    assert len(others) == math.ceil(9 / 8) - 1
    weights = {n: t for n, t in flatten_blocks(client.networks.states()).items() if n.endswith("weight")}
    assert_same_to_the_bit(weights, {name: before[name] for name in weights})
    assert client.private() == {}
    assert client.upload().tensors == {}

    trained = training.make_client(1)
    trained.begin(2, Order(facts=PFLGANOrder(local=True), tensors={NETWORKS: before}))
    assert next(trained.train())["discriminator"] == pytest.approx(first["discriminator"], rel=1e-9)


def test_clients_are_compared_once_and_again_when_somebody_joins(make, monkeypatch):
    compared = []
    take = Sources.take

    def counted(sources, generators, number):
        compared.append((number, set(generators)))
        take(sources, generators, number)

    monkeypatch.setattr(Sources, "take", counted)
    training = make(rounds=6, **{"pflgan.local_rounds": 2})
    training.train(clients=[0])
    training.train(clients=[0, 1])
    assert compared == [(2, {0, 1})]
    training.train(clients=[0, 1])
    assert compared == [(2, {0, 1})]
    closed = training.train(clients=[0, 2])
    assert {k: facts["local"] for k, facts in closed.outcome.clients.items()} == {0: False, 2: True}
    assert compared == [(2, {0, 1}), (4, {2})]
    assert closed.outcome.facts["weights"].keys() == {"0", "1", "2"}
    closed = training.train(clients=[2])
    assert {k: facts["local"] for k, facts in closed.outcome.clients.items()} == {2: False}


def test_sources_stay_as_the_clients_sent_them(make):
    training = make(**{"pflgan.local_rounds": 1})
    training.train()
    before = {k: flatten_blocks(blocks) for k, blocks in training.method.sources.generators.items()}
    before = {k: {name: t.clone() for name, t in tensors.items()} for k, tensors in before.items()}
    training.train()
    for client, tensors in before.items():
        assert_same_to_the_bit(flatten_blocks(training.method.sources.generators[client]), tensors)
        generator = {n: t for n, t in networks_of(training, client).items() if n in tensors}
        assert any(not torch.equal(tensors[name], tensor) for name, tensor in generator.items())


def test_a_client_that_drops_out_keeps_what_it_has(make):
    training = make(**{"pflgan.local_rounds": 1})
    training.train()
    before = {name: tensor.clone() for name, tensor in networks_of(training, 0).items()}
    training.train(absent=(0,))
    assert_same_to_the_bit(networks_of(training, 0), before)
    assert 0 not in training.method.moments


def shaded(config, shade, seed):
    """A generator that draws images around one shade: another one's, with the last bias moved."""
    states = initial_states(model_spec_of(config), seed=seed, dtype=torch.float64)
    blocks = {key: {n: t.clone() for n, t in state.items()} for key, state in states.items()}
    last = max(index for network, index in blocks if network == "generator")
    blocks["generator", last]["main.bias"].fill_(shade)
    return {key: state for key, state in blocks.items() if key[0] == "generator"}


def test_groups_of_clients_that_draw_different_images_are_kept_apart(make):
    config = make().config
    sources = Sources(config)
    shades = {0: -1.0, 1: 1.0, 2: -1.0, 3: 1.0}
    sources.take({client: shaded(config, shade, seed=0) for client, shade in shades.items()}, 1)
    for client, shade in shades.items():
        for other, of_other in shades.items():
            weight = sources.table()[str(client)][str(other)]
            assert weight > 0.2 if shade == of_other else weight < 1e-3
    dark = sources.images_for(0, 200, 2)
    light = sources.images_for(1, 200, 2)
    assert dark.images.float().mean(dim=(1, 2, 3)).max() < light.images.float().mean(dim=(1, 2, 3)).min()


def test_one_client_has_only_its_own_images(make):
    training = make(samples={0: 16}, **{"pflgan.local_rounds": 1})
    assert training.train().outcome.facts["weights"] == {"0": {"0": 1.0}}


def test_products_are_those_of_clients_that_have_trained(make):
    training = make()
    assert training.method.products() == []
    training.train(clients=[1, 2])
    assert [(each.name, each.clients) for each in training.method.products()] == [
        ("client-1", (1,)),
        ("client-2", (2,)),
    ]
    assert training.method.judged_for([0, 1, 2]).name == "client-1"
    sample = PFLGAN.sampler(training.config, training.method.products()[0].tensors)
    assert sample(torch.arange(3), torch.Generator().manual_seed(0)).shape == (3, 1, 28, 28)
    assert training.method.clusters() == {}


def test_products_change_when_the_server_has_trained_them(make):
    training = make(**{"pflgan.local_rounds": 1})
    training.train()
    before = training.method.products()[0].tensors
    training.train()
    assert any(not torch.equal(before[name], t) for name, t in training.method.products()[0].tensors.items())


def test_all_that_it_must_remember_is_in_its_state(make):
    """Personal networks, moments, sources and weights; another server goes on from there to the bit."""
    first, second = make(**{"pflgan.local_rounds": 1}), make(**{"pflgan.local_rounds": 1})
    for training in (first, second):
        training.train()
    first.train()
    second.method.load(first.method.state().copied())
    assert_same_state(second.method.state(), first.method.state())
    for training in (first, second):
        training.method.close_round(3, Collected(uploads={0: Upload(), 1: Upload()}))
    assert_same_state(second.method.state(), first.method.state())


def test_a_state_of_other_clients_is_refused(make):
    large, small = make(), make(samples={0: 16, 1: 9})
    large.train()
    with pytest.raises(ValueError, match=r"networks of clients \[2\], but the run has the clients \[0, 1\]"):
        small.method.load(large.method.state())


def test_a_client_keeps_the_moments_of_its_optimisers_and_no_more(make):
    training = make()
    training.train()
    assert len(kept_files(training.folder)) == 3
    client = training.make_client(0)
    client.begin(1, training.method.orders(1, [0]).of(0))
    list(client.train())
    assert {name.rpartition(".")[2] for name in client.private()} == {"step", "exp_avg", "exp_avg_sq"}
