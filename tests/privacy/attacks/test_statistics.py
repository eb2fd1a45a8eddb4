"""Images from the mean and the variance of activations, which clients with local discriminators tell.

The bound on the number of images is what hides them: ``privacy.min_observed``. ``python -m
tests.privacy.attacks.test_statistics`` prints what is had of how many images.
"""

import pytest
import torch

from huscf_flwr.config import LEAST_OBSERVED, load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.methods import resolved
from huscf_flwr.methods.huscf.observation import form_of_statistics
from huscf_flwr.models import build_blocks
from huscf_flwr.privacy.attacks.search import search
from huscf_flwr.privacy.scoring import nearness, peak_signal_to_noise
from tests.privacy.attacks.heads import quarter, shape_of_images


def statistics_of(images, labels, middle):
    """[2 F], mean and variance of each activation: what crosses."""
    activations = middle(images, labels).flatten(1)
    return torch.cat([activations.mean(0), activations.var(0, correction=0)])


def found_of(count, steps):
    """True images, and what a search by statistics makes of them, given the weights and the labels.

    Images of one label may come out in any order: each true one is beside the nearest that was found.
    """
    spec = quarter()
    middle = build_blocks(spec, "discriminator", range(spec.discriminator.middle_index + 1), seed=0)
    middle.requires_grad_(False)
    train, _ = make_digits()
    truth, labels = normalise(train.images[:count]), train.labels[:count]
    told = statistics_of(truth, labels, middle)
    stream = torch.Generator().manual_seed(0)
    pixels = (0.01 * torch.randn(truth.shape, generator=stream)).requires_grad_()
    search([pixels], lambda: statistics_of(pixels.tanh(), labels, middle), told, steps)
    found = pixels.detach().tanh()
    near = torch.stack([peak_signal_to_noise(each.expand_as(truth), truth) for each in found]).argmax(0)
    return truth, found[near]


def mean_of(truth):
    return normalise(make_digits()[0].images).mean(0, keepdim=True).expand_as(truth)


@pytest.mark.slow
def test_statistics_of_two_images_give_both_away():
    truth, found = found_of(2, steps=300)
    assert nearness(found, truth).psnr > 20 > nearness(mean_of(truth), truth).psnr + 6


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_fewer_numbers_are_told_than_a_third_of_the_pixels_of_as_many_images_as_are_needed(width):
    """Whatever an attack does, they cannot say what all of these images are."""
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
    for images in (1, 2, 4, 8, 16, 32, 64, 100):
        true, made = found_of(images, steps=300)
        near, mean = nearness(made, true), nearness(mean_of(true), true)
        print(
            f"{images} images: {near.psnr:.1f} dB, SSIM {near.ssim:.2f}; mean image {mean.psnr:.1f} dB",
            flush=True,
        )
