"""A1 on the demo's heads: what a batch is given away, and what hides it."""

import pytest
import torch

from huscf_flwr.config import load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.methods import resolved
from huscf_flwr.models import model_spec_of
from huscf_flwr.models.spec import load_model_spec
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.prior import GaussianPrior, Obscured
from huscf_flwr.privacy.scoring import nearness
from huscf_flwr.privacy.shadows import trained_shadow
from tests.privacy.attacks.heads import batch, head, output, quarter, shape_of_images


def attacked(blocks, outputs, labels=None, steps=60):
    return invert_head(blocks, outputs, shape_of_images(), labels, steps)


def test_a_head_of_one_block_gives_images_and_labels_away():
    images, labels = batch()
    found = attacked(head(), output(head(), images, labels))
    assert nearness(found.images, images).psnr > 120
    assert torch.equal(found.labels, labels)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 10], ids=["initial", "trained"])
def test_a_head_of_full_width_gives_images_and_labels_away(steps):
    """What the paper's networks are, with weights as they begin and after a few steps."""
    config = resolved(load_config("demo", ["model.width=1.0", "batch_size=16"]))
    train, _ = make_digits()
    full = model_spec_of(config)
    attacked_head, begun = head(spec=full), head(spec=full).state_dict()["0.main.weight"]
    for states in trained_shadow(config, train, steps, 0):
        attacked_head.load(states)
    assert torch.equal(attacked_head.state_dict()["0.main.weight"], begun) == (steps == 0)
    images, labels = normalise(train.images[:32]), train.labels[:32]
    found = invert_head(attacked_head, output(attacked_head, images, labels), shape_of_images(full))
    assert nearness(found.images, images).psnr > 60
    assert torch.equal(found.labels, labels)


def test_half_the_precision_changes_little():
    images, labels = batch()
    found = attacked(head(), output(head(), images, labels).bfloat16().float())
    assert nearness(found.images, images).psnr > 50
    assert torch.equal(found.labels, labels)


def test_a_head_of_other_weights_gives_nothing():
    images, labels = batch()
    found = attacked(head(seed=1), output(head(), images, labels))
    assert nearness(found.images, images).psnr < 15


def test_a_head_without_normalisation_is_inverted_with_its_bias():
    spec = quarter()
    blocks = [
        spec.discriminator.blocks[0].model_copy(update={"norm": "none"}),
        *spec.discriminator.blocks[1:],
    ]
    plain = spec.model_copy(
        update={"discriminator": spec.discriminator.model_copy(update={"blocks": tuple(blocks)})}
    )
    images, labels = batch(4)
    found = attacked(head(spec=plain), output(head(spec=plain), images, labels))
    assert nearness(found.images, images).psnr > 100
    assert torch.equal(found.labels, labels)


def test_a_head_too_narrow_for_the_closed_form_is_searched():
    """Of 784 pixels and 10 labels it makes 588 numbers."""
    narrow = load_model_spec("authors-28", 0.05)
    images, labels = batch(6)
    found = attacked(head(spec=narrow), output(head(spec=narrow), images, labels), labels)
    mean = images.mean(0, keepdim=True).expand_as(images)
    assert nearness(found.images, images).psnr > nearness(mean, images).psnr + 3


@pytest.mark.slow
@pytest.mark.parametrize("are_known", [True, False], ids=["labels known", "labels searched for"])
def test_a_head_of_two_blocks_is_searched(are_known):
    train, _ = make_digits()
    images, labels = normalise(train.images[:6]), train.labels[:6]
    outputs = output(head(2), images, labels)
    found = attacked(head(2), outputs, labels if are_known else None, steps=150)
    assert nearness(found.images, images).psnr > 25
    assert (found.labels == labels).float().mean() > 0.9


def noisy_outputs(spreads, images, labels):
    """What a head makes of a batch, with noise."""
    outputs = output(head(), images, labels)
    noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0))
    return outputs + spreads * outputs.std() * noise


@pytest.mark.slow
def test_noise_hides_less_from_who_knows_what_images_are_like():
    """Digits, and a prior from other digits. One spread: closed form 4 dB, mean image 12.5, this 21."""
    images, others = make_digits()
    images, labels = normalise(images.images[:8]), images.labels[:8]
    obscured = Obscured(1.0, GaussianPrior.of(normalise(others.images)))
    outputs = noisy_outputs(1.0, images, labels)
    found = invert_head(head(), outputs, shape_of_images(), None, 25, obscured)
    assert nearness(found.images, images).psnr > 16
    assert torch.equal(found.labels, labels)
    assert nearness(attacked(head(), outputs).images, images).psnr < 10


def test_a_prior_knows_mean_and_covariance():
    stream = torch.Generator().manual_seed(0)
    seen = torch.randn(4000, 1, 2, 1, generator=stream) @ torch.tensor([[1.0]])
    seen[:, 0, 1] = 0.5 * seen[:, 0, 0] + 0.25
    prior = GaussianPrior.of(seen)
    drawn = prior.images(torch.randn(4000, 2, generator=stream)).flatten(1)
    assert torch.allclose(drawn.mean(0), torch.tensor([0.0, 0.25]), atol=0.05)
    assert torch.allclose(drawn.t().cov(), torch.tensor([[1.0, 0.5], [0.5, 0.25]]), atol=0.07)


@pytest.mark.parametrize("spreads", [0.1, 1.0, 8.0])
def test_the_noises_share_of_what_crossed_is_known(spreads):
    images, labels = batch(12)
    outputs = output(head(), images, labels)
    obscured = Obscured(spreads, GaussianPrior.of(images))
    expected = (spreads * outputs.std()).square().item()
    assert obscured.variance(noisy_outputs(spreads, images, labels)) == pytest.approx(expected, rel=0.05)
