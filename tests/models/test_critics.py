import pytest
import torch

from huscf_flwr.models.critics import build_critic
from huscf_flwr.models.spec import ImageSpec


@pytest.mark.parametrize(
    ("channels", "size", "classes", "weights"),
    [
        # Three convolutions of 3x3, two normalisations, and a verdict on maps of 64 channels.
        (1, 28, 10, 16 * 10 + 32 * 145 + 64 * 289 + 2 * (32 + 64) + 1025 + 10 * 1024),
        (3, 32, 7, 16 * 28 + 32 * 145 + 64 * 289 + 2 * (32 + 64) + 1025 + 7 * 1024),
        (3, 64, 100, 16 * 28 + 32 * 145 + 64 * 289 + 2 * (32 + 64) + 4097 + 100 * 4096),
    ],
)
def test_verdicts_on_images_of_all_sizes(channels, size, classes, weights):
    critic = build_critic(ImageSpec(size=size, channels=channels), classes, torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in critic.parameters()) == weights
    images = torch.zeros(1, channels, size, size)
    assert critic(images, torch.tensor([classes - 1])).shape == (1,)


def test_a_verdict_is_of_the_label_and_of_nothing_else_in_the_batch():
    critic = build_critic(ImageSpec(size=28, channels=1), 4, torch.Generator().manual_seed(0))
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 3, 3])
    together = critic(images, labels)
    for place in range(3):
        alone = critic(images[place : place + 1], labels[place : place + 1])
        torch.testing.assert_close(together[place : place + 1], alone)
    assert (critic(images, torch.tensor([1, 2, 0])) - together).abs().min() > 1e-6


def test_weights_are_of_the_stream_and_mixed_precision_gives_verdicts_in_that_of_the_images():
    image = ImageSpec(size=28, channels=1)
    first, second = (build_critic(image, 4, torch.Generator().manual_seed(5)) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    mixed = build_critic(image, 4, torch.Generator().manual_seed(5), dtype=torch.bfloat16)
    images = torch.randn(2, 1, 28, 28)
    verdicts = mixed(images, torch.tensor([0, 1]))
    assert verdicts.dtype == torch.float32
    torch.testing.assert_close(verdicts, first(images, torch.tensor([0, 1])), atol=0.05, rtol=0.1)
