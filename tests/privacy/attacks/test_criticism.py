"""A3 by gradients of fakes: the mix of labels of a client whose embedding has the noise of one image."""

import pytest
import torch

from huscf_flwr.accounting import noise_multiplier_for
from huscf_flwr.accounting.secret_noise import KeyedStream, seeded_key
from huscf_flwr.config import load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.models import build_blocks, model_spec_of
from huscf_flwr.privacy.attacks.criticism import Criticised, mix_of_criticism
from huscf_flwr.privacy.attacks.mix import total_variation
from huscf_flwr.privacy.floors import MIX
from huscf_flwr.split.embedding import NoisedEmbedding, RandomFeatures, noised_sums
from tests.run.builders import METHODS

COUNTS = torch.tensor([90, 60, 50, 40, 30, 20, 10, 0, 0, 0])
UNIFORM = torch.full((10,), 0.1, dtype=torch.float64)
SETTINGS = [f"{name}={value}" for name, value in METHODS["huscf-embedding"].items()]
SPEC = model_spec_of(load_config("demo", ["model.width=0.1", *SETTINGS]))
FEATURES = RandomFeatures(SPEC.image.shape, 200, seed=0)


def released(epsilon, counts=COUNTS):
    """What a client with digits of these ``counts`` makes of them."""
    images = make_digits()[0]
    places = [(images.labels == label).nonzero().flatten() for label in range(10)]
    chosen = images.subset(torch.cat([each[:n] for each, n in zip(places, counts.tolist(), strict=True)]))
    noise = noise_multiplier_for(epsilon, 1e-5, sampling_rate=1.0, steps=1, spent=())
    stream = KeyedStream(seeded_key(0, "test"))
    sums = noised_sums(FEATURES(normalise(chosen.images)), chosen.labels, 10, noise, stream)
    return NoisedEmbedding.of(FEATURES, sums, noise)


def steps_with(embedding, count=2, blocks=1):
    """Steps of fakes from a tail of ``blocks``, and what the client sends of them.

    Inputs are ten times as wide as its first weights expect, so that fakes differ like a trained generator's.
    """
    last = len(SPEC.generator.blocks)
    shape = SPEC.shapes("generator")[last - blocks]
    stream = torch.Generator().manual_seed(0)
    for _ in range(count):
        tail = build_blocks(SPEC, "generator", range(last - blocks, last), seed=0)
        inputs = (10 * torch.randn(64, *shape, generator=stream)).relu().requires_grad_()
        labels = torch.randint(10, (64,), generator=stream)
        embedding.criticise(tail(inputs), labels)
        yield Criticised(tail, inputs.detach(), labels, inputs.grad)


def mix_off(embedding, counts=COUNTS, **settings):
    found = mix_of_criticism(list(steps_with(embedding, **settings)), FEATURES, 10)
    assert found.sum().item() == pytest.approx(1)
    return total_variation(found, counts.double() / counts.sum())


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_mix_is_found_in_spite_of_the_noise_of_one_image(blocks):
    """Noise is for one image, and the mix is of 300."""
    guessed = total_variation(UNIFORM, COUNTS.double() / COUNTS.sum())
    assert mix_off(released(10.0), blocks=blocks) < MIX < guessed / 2


def test_a_label_of_which_the_client_has_no_image_has_no_share():
    found = mix_of_criticism(list(steps_with(released(10.0))), FEATURES, 10)
    assert found[-3:].max() < 0.01


def test_nothing_is_found_where_noise_drowns_each_label():
    """At an epsilon of a tenth each count has noise of about as many images as its commonest label has."""
    embedding = released(0.1)
    assert embedding.shares.max() == 0
    found = mix_of_criticism(list(steps_with(embedding)), FEATURES, 10)
    assert torch.equal(found, UNIFORM)
