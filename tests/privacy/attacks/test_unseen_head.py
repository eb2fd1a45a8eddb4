"""A5: a head that the attacker has never seen, and public digits."""

import pytest
import torch

from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.privacy.attacks.unseen_head import invert_unseen_head
from huscf_flwr.privacy.scoring import nearness
from tests.privacy.attacks.heads import head, output


@pytest.mark.slow
def test_a_simulator_of_the_same_statistics_gives_images_away():
    """The floor is 3 dB above the mean image; that of the label's public images is passed too."""
    held, public = make_digits()
    images, labels = normalise(held.images[:320]), held.labels[:320]
    known, known_labels = normalise(public.images[:160]), public.labels[:160]
    seen = torch.cat(
        [output(head(), *batch) for batch in zip(images.split(32), labels.split(32), strict=True)]
    )

    def found(steps):
        return invert_unseen_head([head(seed=1), head(seed=2)], seen, labels, known, known_labels, steps)

    means = torch.stack([known[known_labels == label].mean(0) for label in range(10)])[labels]
    guess = images.mean(0, keepdim=True).expand_as(images)
    best = nearness(found(120), images).psnr
    assert best > nearness(guess, images).psnr + 3
    assert best > nearness(means, images).psnr + 3
    # Nor does a head with any other weights do: the simulator must have been trained.
    assert nearness(found(0), images).psnr < nearness(means, images).psnr
