"""A4 by gradients alone: a head that is steered by somebody who has public digits."""

import copy

import pytest
import torch

from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.models import build_blocks
from huscf_flwr.models.optimisers import Adam
from huscf_flwr.privacy.attacks.hijack import Hijack
from huscf_flwr.privacy.scoring import nearness
from tests.privacy.attacks.heads import head, quarter

STEPS, PREPARING, BATCH, BLOCKS = 60, 150, 32, 2


@pytest.mark.slow
def test_a_steered_head_gives_images_away_and_one_that_is_not_steered_does_not():
    """The floor is 3 dB above the mean image. The pilot begins with the head's weights and leaves them."""
    held, public = make_digits()
    images, labels = normalise(held.images), held.labels
    own, stream = head(BLOCKS), torch.Generator().manual_seed(0)
    critic = build_blocks(quarter(), "discriminator", range(BLOCKS, 5), seed=1)
    hijack = Hijack(copy.deepcopy(own), critic, normalise(public.images), public.labels, seed=0)
    hijack.prepare(BATCH, PREPARING)
    trained = Adam([each for each in own.parameters() if each.requires_grad], 5e-4, (0.5, 0.999))
    found = []
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,), generator=stream)
        outputs = own(images[chosen], labels[chosen])
        found.append(nearness(hijack.images(outputs.detach()), images[chosen]).psnr)
        torch.autograd.backward(outputs, hijack.gradient(outputs.detach()))
        trained.step()
        trained.zero_grad()
    guess = nearness(images.mean(0, keepdim=True).expand_as(images), images).psnr
    assert found[0] < guess < found[-1] - 3
