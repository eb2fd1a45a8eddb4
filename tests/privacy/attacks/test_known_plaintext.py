"""A2: a head that nobody has sent is worked out from fakes, and inverted."""

import torch

from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.known_plaintext import invert_by_fakes
from huscf_flwr.privacy.scoring import nearness
from tests.privacy.attacks.heads import batch, head, output, shape_of_images


def with_kernel_of(other):
    """The head that is known, but with another kernel."""
    changed = head()
    state = changed.at(0).state_dict()
    state["main.weight"] = other.at(0).state_dict()["main.weight"]
    changed.at(0).load_state_dict(state)
    return changed


def test_known_fakes_give_real_images_away_whatever_the_kernel_is():
    own = with_kernel_of(head(seed=1))
    (fakes, fake_labels), (images, labels) = batch(seed=1), batch(seed=2)
    seen = output(own, fakes, fake_labels), output(own, images, labels)
    found = invert_by_fakes(head(), fakes, fake_labels, *seen, shape_of_images())
    assert nearness(found.images, images).psnr > 80
    assert torch.equal(found.labels, labels)
    assert nearness(invert_head(head(), seen[1], shape_of_images()).images, images).psnr < 15


def test_fakes_that_are_known_a_little_give_real_images_away_a_little():
    own = head()
    (fakes, fake_labels), (images, labels) = batch(seed=1), batch(seed=2)
    seen = output(own, fakes, fake_labels), output(own, images, labels)
    nearly = fakes + 0.05 * torch.randn(fakes.shape, generator=torch.Generator().manual_seed(0))
    found = invert_by_fakes(head(), nearly, fake_labels, *seen, shape_of_images())
    assert 20 < nearness(found.images, images).psnr < 80


def test_fakes_that_are_not_known_give_no_more_than_the_mean_image():
    """A client with a generator's tail of its own: its fakes are others, and its kernel stays hidden."""
    own = with_kernel_of(head(seed=1))
    (fakes, fake_labels), (images, labels) = batch(seed=1), batch(seed=2)
    others, _ = batch(seed=5)
    seen = output(own, fakes, fake_labels), output(own, images, labels)
    found = invert_by_fakes(head(), others, fake_labels, *seen, shape_of_images())
    mean = images.mean(0, keepdim=True).expand_as(images)
    assert nearness(found.images.nan_to_num(0.0, 0.0, 0.0), images).psnr < nearness(mean, images).psnr + 3
