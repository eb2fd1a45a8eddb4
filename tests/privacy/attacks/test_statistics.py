"""Images from the statistics of activations that clients with local discriminators tell.

The bound on the number of images is what hides them: ``privacy.min_observed``. ``python -m
tests.privacy.attacks.test_statistics`` prints what is had of how many images.
"""

import pytest
import torch

from huscf_flwr.config import LEAST_OBSERVED, load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.federation import sketched
from huscf_flwr.methods import resolved
from huscf_flwr.methods.huscf.observation import form_of_statistics
from huscf_flwr.models import build_blocks
from huscf_flwr.privacy.attacks.search import search
from huscf_flwr.privacy.scoring import nearness, peak_signal_to_noise
from tests.privacy.attacks.heads import quarter, shape_of_images


def statistics_of(images, labels, middles):
    """What crosses in as many rounds as there are ``middles``, each part with a mean square of its own.

    It is mean and variance of each activation, and the covariance in the directions of the sketch.
    """
    parts = []
    for middle in middles:
        activations = middle(images, labels).flatten(1).double()
        sketch = sketched(activations)
        centred = sketch - sketch.mean(0)
        covariance = centred.t() @ centred / len(images)
        rows, columns = torch.triu_indices(*covariance.shape)
        parts += [activations.mean(0), activations.var(0, correction=0), covariance[rows, columns]]
    return parts


def found_of(count, steps, rounds=1):
    """True images, and what a search by statistics makes of them, given the weights and the labels.

    Each round has weights of its own, more unlike each other than those of a training are, which flatters the
    attack. Images of one label may come out in any order: each true one is beside the nearest that was found.
    """
    spec = quarter()
    indices = range(spec.discriminator.middle_index + 1)
    middles = [build_blocks(spec, "discriminator", indices, seed=number) for number in range(rounds)]
    for middle in middles:
        middle.requires_grad_(False)
    train, _ = make_digits()
    truth, labels = normalise(train.images[:count]), train.labels[:count]
    told = statistics_of(truth, labels, middles)
    scales = [part.square().mean().sqrt().clamp(min=1e-6) for part in told]

    def scaled(parts):
        return torch.cat([part / scale for part, scale in zip(parts, scales, strict=True)])

    stream = torch.Generator().manual_seed(0)
    pixels = (0.01 * torch.randn(truth.shape, generator=stream)).requires_grad_()
    search([pixels], lambda: scaled(statistics_of(pixels.tanh(), labels, middles)), scaled(told), steps)
    found = pixels.detach().tanh()
    near = torch.stack([peak_signal_to_noise(each.expand_as(truth), truth) for each in found]).argmax(0)
    return truth, found[near]


def mean_of(truth):
    return normalise(make_digits()[0].images).mean(0, keepdim=True).expand_as(truth)


@pytest.mark.slow
def test_statistics_of_two_images_in_two_rounds_give_both_away():
    truth, found = found_of(2, steps=300, rounds=2)
    assert nearness(found, truth).psnr > 20 > nearness(mean_of(truth), truth).psnr + 6


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_a_round_tells_fewer_numbers_than_a_third_of_the_pixels_of_as_many_images_as_are_needed(width):
    """So one round cannot say what all of these images are. Several together have more numbers."""
    config = resolved(load_config("demo", [f"model.width={width}", "privacy.local_discriminator=true"]))
    numbers = sum(torch.Size(header.shape).numel() for header in form_of_statistics(config).values())
    pixels = LEAST_OBSERVED * torch.Size(shape_of_images(quarter())).numel()
    assert numbers < pixels / 3


@pytest.mark.slow
def test_statistics_of_as_many_images_as_are_told_at_least_give_none_away():
    """More pixels by far than numbers: 78,400, and 3,136. The pairing of images flatters the attack."""
    truth, found = found_of(100, steps=30)
    assert nearness(found, truth).psnr < nearness(mean_of(truth), truth).psnr + 3


if __name__ == "__main__":
    for images, rounds in ((1, 1), (2, 1), (4, 1), (100, 1), (2, 2), (4, 7), (20, 7), (100, 7)):
        true, made = found_of(images, steps=300, rounds=rounds)
        near, mean = nearness(made, true), nearness(mean_of(true), true)
        print(
            f"{images} images, {rounds} rounds: {near.psnr:.1f} dB, SSIM {near.ssim:.2f}; "
            f"mean image {mean.psnr:.1f} dB",
            flush=True,
        )
