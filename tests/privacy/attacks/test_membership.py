"""A6: who was trained on, by hand, and on networks that have learnt few images by heart."""

import pytest
import torch

from huscf_flwr.config import load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.methods import resolved
from huscf_flwr.models import model_spec_of
from huscf_flwr.privacy.attacks.membership import calibrated, closeness, likelihood_ratio, realness
from huscf_flwr.privacy.separation import area_under_curve
from huscf_flwr.privacy.shadows import halves, trained_shadow

INSIDE = torch.tensor([[True, False], [False, True], [True, False], [False, True]])
SHADOWS = torch.tensor([[5.0, 1.0], [2.0, 4.0], [7.0, 1.0], [4.0, 6.0]])
"""The first image: 5 and 7 with it, 2 and 4 without it. The second: 4 and 6, 1 and 1."""


def test_scores_are_compared_with_those_of_models_with_the_image_and_without():
    """Means are 6 and 3 for the first image, 5 and 1 for the second; squares of residuals add up to 6, and
    of eight values four means are taken, so that the variance is 1.5."""
    found = likelihood_ratio(torch.tensor([6.0, 1.0]), SHADOWS, INSIDE)
    assert found.tolist() == pytest.approx([9 / 3, -16 / 3])


def test_a_score_half_way_between_both_says_nothing():
    assert likelihood_ratio(torch.tensor([4.5, 3.0]), SHADOWS, INSIDE).tolist() == pytest.approx([0, 0])


def test_calibrated_scores_are_above_those_of_models_without_the_image():
    assert calibrated(torch.tensor([6.0, 1.0]), SHADOWS, INSIDE).tolist() == [3, 0]


def test_the_nearest_drawn_image_of_the_same_label_counts():
    """The generator draws grey images, as light as their label."""

    def sampler(labels, _):
        return labels.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)

    images = torch.tensor([0.0, 1.5, 1.0]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    found = closeness(sampler, images, torch.tensor([0, 1, 0]), seed=0, drawn=3)
    assert found.tolist() == [0, -1, -4]


@pytest.mark.slow
def test_a_discriminator_that_has_learnt_64_images_by_heart_gives_them_away():
    """With two shadow models only. The control: of 128 images that it has not seen, no half is told apart."""
    config = resolved(load_config("demo", ["model.width=0.1", "batch_size=16"]))
    images, spec = make_digits()[0], model_spec_of(config)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    asked = images.subset(order[:192])
    inside = halves(len(asked), 2, seed=0)
    parts = [torch.arange(64), *(each.nonzero().flatten() for each in inside)]

    def score(number):
        *_, states = trained_shadow(config, asked.subset(parts[number]), 300, number)
        return realness(spec, states, normalise(asked.images), asked.labels)

    target, *shadows = map(score, range(3))
    scores = likelihood_ratio(target, torch.stack(shadows), inside)
    members, others = scores[:64], scores[64:]
    assert area_under_curve(members, others) > 0.75
    assert 0.35 < area_under_curve(others[:64], others[64:]) < 0.65
