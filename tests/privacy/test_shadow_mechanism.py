"""Shadow models learn as the run's clients do, with noise of their own."""

import inspect
import math

import pytest
import torch

from huscf_flwr.accounting.secret_noise import seeded_key
from huscf_flwr.data import normalise
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.huscf.private_crossing import PrivateOrder
from huscf_flwr.models import Cut, all_block_keys, model_spec_of, with_local_discriminator
from huscf_flwr.privacy.shadow_mechanism import known_noise, mechanism_of
from huscf_flwr.privacy.shadows import trained_shadow
from huscf_flwr.split import Segments, adam_settings
from huscf_flwr.split.embedding import RandomFeatures
from tests.run.builders import DEVICE, METHODS, images_of_client, small_run

IMAGES, STEPS = 40, 12


def config_of(place, method, **settings):
    return resolved(small_run(place, place, **{**METHODS[method], "model.width": 0.03, **settings}))


def charged(config, number=1):
    """A client of a run, which has begun its first round, and what it has spent."""
    client = method_of(config).client(3, images_of_client(3, IMAGES), DEVICE, config)
    cut = with_local_discriminator(model_spec_of(config), Cut())
    client.begin(number, Order(facts=PrivateOrder(cut=tuple(cut), steps_left=STEPS)))
    (spent,) = client.charge(4, [])
    return client, spent


def networks_of(config):
    spec = model_spec_of(config)
    return Segments(spec, list(all_block_keys(spec)), seed=config.seed, adam=adam_settings(config))


@pytest.mark.parametrize("method", ["huscf-private", "huscf-embedding"])
def test_everybody_knows_how_much_noise_a_client_has(tmp_path, method):
    more = {"privacy.discriminator_steps": 2} if method == "huscf-private" else {}
    config = config_of(tmp_path, method, **more)
    assert known_noise(config, IMAGES, STEPS) == charged(config)[1].noise_multiplier
    assert known_noise(config_of(tmp_path, "huscf"), IMAGES, STEPS) == 0


@pytest.mark.parametrize("method", ["huscf-private", "huscf-embedding"])
def test_with_a_clients_key_a_shadow_model_learns_what_the_client_learns(tmp_path, method, monkeypatch):
    """From its images, to the bit: samples, clips and noise of DP-SGD, or those of the embedding."""
    for module in ("huscf_flwr.privacy.shadow_mechanism", "huscf_flwr.methods.huscf.private_client"):
        monkeypatch.setattr(f"{module}.seeded_key", lambda *_: bytes(range(32)))
    config = config_of(tmp_path, method)
    client, spent = charged(config)
    learn, criticise = mechanism_of(config, images_of_client(3, IMAGES), 1, spent.noise_multiplier)
    batch = client.round_batches(1).next()
    found = []
    for learn_one, criticise_one in ((client.learn, client.criticise), (learn, criticise)):
        networks = networks_of(config)
        fakes = networks.generator.blocks(batch.latents, batch.fake_labels)
        learn_one(networks.discriminator, fakes.detach(), batch)
        loss = criticise_one(networks.discriminator, fakes, batch.fake_labels)
        weights = torch.cat([each.flatten() for each in networks.discriminator.blocks.parameters()])
        found.append((loss, weights.detach()))
    (loss, weights), (shadow_loss, shadow_weights) = found
    assert torch.equal(loss, shadow_loss)
    assert torch.equal(weights, shadow_weights)
    began = torch.cat([each.flatten() for each in networks_of(config).discriminator.blocks.parameters()])
    assert torch.equal(weights, began) == (method == "huscf-embedding")


@pytest.mark.parametrize("method", ["huscf-private", "huscf-embedding"])
def test_a_shadow_model_is_trained_with_the_noise_it_is_told(tmp_path, method):
    """Its generator tells, whose critic has the noise."""
    config = config_of(tmp_path, method)

    def trained(noise):
        *_, states = trained_shadow(config, images_of_client(0, IMAGES), 3, 1, noise)
        return torch.cat([state["main.weight"].flatten() for state in states.values()]).clone()

    noisy = trained(0.5)
    assert torch.equal(noisy, trained(0.5))
    assert not torch.equal(noisy, trained(0.0))


def test_seeded_noise_is_what_secret_noise_is_but_for_who_can_guess_it(tmp_path):
    """So that what A6 finds of a simulation is what it would find of clients that keep their keys.

    Of a release with many numbers: the noise is as wide, and normal. No shadow model has it.
    """
    noises = {}
    for kind in ("secret", "seeded"):
        config = config_of(tmp_path, "huscf-embedding", **{"privacy.features": 2000, "privacy.noise": kind})
        client, spent = charged(config)
        sums = client.private()["privacy.embedding"]
        noises[kind] = (sums - true_sums(client, sums)) / spent.noise_multiplier
        again = charged(config)[0].private()["privacy.embedding"]
        assert torch.equal(again, sums) == (kind == "seeded")
    for noise in noises.values():
        assert noise.mean().abs() < 0.03
        assert noise.std() == pytest.approx(1, abs=0.03)
        assert noise.abs().lt(1).double().mean() == pytest.approx(0.683, abs=0.02)


def test_two_releases_of_the_same_images_have_nothing_of_their_noise_in_common(tmp_path):
    """Of two shadow models, and of one and the client."""
    config = config_of(tmp_path, "huscf-embedding", **{"privacy.features": 2000})
    client, spent = charged(config)
    sums = client.private()["privacy.embedding"]
    truth = true_sums(client, sums)
    critics = [mechanism_of(config, client.images, k, spent.noise_multiplier)[1] for k in (1, 2)]
    embeddings = [inspect.getclosurevars(each).nonlocals["embedding"] for each in critics]
    noises = torch.stack([(each - truth).flatten() for each in (sums, *(of.sums for of in embeddings))])
    assert torch.corrcoef(noises).fill_diagonal_(0).abs().max() < 0.03


def test_no_shadow_model_has_a_clients_key():
    """Client ids and rounds are other paths than numbers of shadow models."""
    clients = {
        seeded_key(0, "private learning", client, number) for client in range(5) for number in range(5)
    }
    shadows = {seeded_key(0, "shadow noise", number) for number in range(5)}
    assert len(clients | shadows) == 30


def true_sums(client, released):
    """What would have been released without noise."""
    config = client.config
    spec = model_spec_of(config)
    features = RandomFeatures(spec.image.shape, config.privacy.features, config.seed)
    images, labels = normalise(client.images.images), client.images.labels
    vectors = torch.cat((math.sqrt(0.9) * features(images), torch.full((IMAGES, 1), math.sqrt(0.1))), dim=1)
    return torch.zeros_like(released).index_add_(0, labels, vectors)
