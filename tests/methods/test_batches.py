import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.models import legal_cuts, model_spec_of
from tests.run.builders import images_of_client, small_run
from tests.split.builders import build, local_step
from tests.split.unsplit import UnsplitStep, differences

CHOICES = ("real", "own-mix", "uniform")


@pytest.fixture
def draw(tmp_path):
    """The first batches of a round of a client that holds ``labels``."""

    def batches(labels, count=1, client=0, number=1, **settings):
        images = LabelledImages(torch.zeros(len(labels), 1, 28, 28, dtype=torch.uint8), torch.tensor(labels))
        config = small_run(tmp_path, tmp_path, **settings)
        stream = RoundBatches(images, config, latent=4, client=client, number=number)
        return [stream.next() for _ in range(count)]

    return batches


def shares(batches):
    """How often fakes have each label."""
    labels = torch.cat([batch.fake_labels for batch in batches])
    return (labels.bincount(minlength=10) / len(labels)).tolist()


def test_by_default_fakes_have_the_labels_of_the_batch(draw):
    assert all(batch.fake_labels is batch.labels for batch in draw([1, 2, 3, 4] * 3, count=4))


@pytest.mark.parametrize("choice", CHOICES)
def test_images_labels_and_latents_do_not_depend_on_the_fakes_labels(draw, choice):
    """Their draws are a stream of their own."""
    labels = [0, 1, 2, 3, 4] * 4
    for mine, theirs in zip(draw(labels, 4), draw(labels, 4, fake_labels=choice), strict=True):
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
        assert torch.equal(mine.latents, theirs.latents)
        assert theirs.fake_labels.shape == theirs.labels.shape
        assert theirs.fake_labels.dtype == torch.int64


def test_a_clients_own_mix_has_its_labels_as_often_as_it_has_them(draw):
    """Three of four images have label 7, and the fourth 2; of 1,000 draws 0.09 is over six deviations."""
    found = shares(draw([7, 7, 7, 2], 250, fake_labels="own-mix"))
    assert found[7] == pytest.approx(0.75, abs=0.09)
    assert found[7] + found[2] == pytest.approx(1)


def test_uniform_labels_are_all_of_the_networks_alike(draw):
    found = shares(draw([7, 7, 7, 2], 500, fake_labels="uniform"))
    assert found == pytest.approx([0.1] * 10, abs=0.05)


@pytest.mark.parametrize("choice", ["own-mix", "uniform"])
def test_draws_are_apart_from_the_batch_and_depend_on_seed_client_and_round(draw, choice):
    labels = list(range(10)) * 2

    def drawn(**changes):
        return torch.cat([batch.fake_labels for batch in draw(labels, 3, fake_labels=choice, **changes)])

    real = torch.cat([batch.labels for batch in draw(labels, 3)])
    assert not torch.equal(drawn(), real)
    assert torch.equal(drawn(), drawn())
    assert not any(torch.equal(drawn(), drawn(**change)) for change in ({"client": 1}, {"number": 2}))
    assert not torch.equal(drawn(), drawn(seed=1))


@pytest.mark.parametrize("choice", CHOICES)
def test_split_equals_unsplit(tmp_path, choice):
    """With the batches of two clients, two steps on end."""
    config = small_run(
        tmp_path, tmp_path, fake_labels=choice, **{"model.width": 0.03, "compute.precision": "float64"}
    )
    spec = model_spec_of(config)
    executor, clients = build(spec, {0: legal_cuts(spec)[0], 1: legal_cuts(spec)[-1]})
    oracle = UnsplitStep(executor, clients)
    streams = {
        k: RoundBatches(images_of_client(k, 12), config, latent=spec.latent, client=k, number=1)
        for k in (0, 1)
    }
    for _ in range(2):
        batches = {k: stream.next() for k, stream in streams.items()}
        local_step(executor, clients, batches)
        oracle.step(batches)
    assert differences(executor, clients, oracle) == {}


def test_without_a_sampler_a_batch_has_fakes_alone_and_they_are_those_of_any_other(tmp_path):
    images = LabelledImages(torch.zeros(9, 1, 28, 28, dtype=torch.uint8), torch.arange(9))
    config = small_run(tmp_path, tmp_path, fake_labels="uniform", batch_size=4)
    place = {"latent": 4, "client": 0, "number": 1}
    alone = RoundBatches(images, config, **place, sampler=None).next()
    among = RoundBatches(images, config, **place).next()
    assert alone.images.shape == (0, 1, 28, 28)
    assert len(alone.labels) == 0
    assert torch.equal(alone.latents, among.latents)
    assert torch.equal(alone.fake_labels, among.fake_labels)
