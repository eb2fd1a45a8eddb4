"""Images drawn from several generators: from which, and with which labels."""

import pytest
import torch

from huscf_flwr.methods.pflgan.mixing import drawn, mixed


def painting(shade):
    """A sampler whose images are all of one shade, the label in their corner."""

    def sample(labels, stream):
        images = torch.full((len(labels), 1, 2, 2), shade)
        images[:, 0, 0, 0] = labels / 127.5 - 1
        return images

    return sample


def test_images_come_from_the_generators_in_proportion_to_the_weights():
    weights = torch.tensor([0.5, 0.0, 0.3, 0.2], dtype=torch.float64)
    stream = torch.Generator().manual_seed(0)
    shades = [-1.0, -0.2, 0.2, 1.0]
    found = mixed([painting(shade) for shade in shades], weights, 20_000, classes=3, stream=stream)
    pixels = torch.tensor([round((shade + 1) * 127.5) for shade in shades])
    shares = (found.images[:, 0, 1, 1, None] == pixels).double().mean(0)
    assert shares.sum() == 1
    assert shares[1] == 0
    assert shares.tolist() == pytest.approx(weights.tolist(), abs=0.02)


def test_each_image_has_the_label_that_was_asked_for_and_all_labels_are_alike():
    stream = torch.Generator().manual_seed(1)
    weights = torch.tensor([0.5, 0.5])
    found = mixed([painting(0.0), painting(1.0)], weights, 9_000, classes=3, stream=stream)
    assert torch.equal(found.images[:, 0, 0, 0].long(), found.labels)
    assert (found.labels.bincount() / 9_000).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_many_images_are_drawn_some_at_a_time():
    sizes = []

    def sample(labels, stream):
        sizes.append(len(labels))
        return labels[:, None, None, None].float()

    labels = torch.arange(1201)
    assert torch.equal(drawn(sample, labels, torch.Generator()).flatten(), labels.float())
    assert sum(sizes) == 1201
    assert max(sizes) == 500


def test_the_same_stream_draws_the_same_images():
    def noise(labels, stream):
        return torch.rand(len(labels), 1, 2, 2, generator=stream)

    def draw():
        stream = torch.Generator().manual_seed(3)
        return mixed([noise, noise], torch.tensor([0.5, 0.5]), 50, classes=4, stream=stream)

    one, two = draw(), draw()
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.labels, two.labels)
