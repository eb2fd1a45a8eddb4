"""A4 by gradients alone: a head that is steered by somebody who has public digits and does not know it."""

import pytest
import torch

from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.models import build_blocks
from huscf_flwr.models.optimisers import Adam
from huscf_flwr.privacy.attacks.hijack import Hijack
from huscf_flwr.privacy.scoring import nearness
from tests.privacy.attacks.heads import head, quarter

STEPS, BATCH = 120, 32


def hijack(blocks=1):
    _, public = make_digits()
    rest = build_blocks(quarter(), "discriminator", range(blocks, 5), seed=1)
    made = Hijack(head(blocks, seed=1), rest, normalise(public.images), public.labels, seed=0)
    made.prepare(BATCH)
    return made


@pytest.mark.slow
def test_a_steered_head_gives_images_away_and_one_that_is_not_steered_does_not():
    """The floor is 3 dB above the mean image."""
    held, _ = make_digits()
    images, labels = normalise(held.images), held.labels
    steering, own, stream = hijack(), head(), torch.Generator().manual_seed(0)
    trained = Adam([each for each in own.parameters() if each.requires_grad], 5e-4, (0.5, 0.999))
    found = []
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,), generator=stream)
        outputs = own(images[chosen], labels[chosen])
        found.append(nearness(steering.images(outputs.detach()), images[chosen]).psnr)
        torch.autograd.backward(outputs, steering.gradient(outputs.detach()))
        trained.step()
        trained.zero_grad()
    guess = nearness(images.mean(0, keepdim=True).expand_as(images), images).psnr
    assert found[0] < guess < found[-1] - 3
