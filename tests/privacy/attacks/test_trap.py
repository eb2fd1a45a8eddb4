"""A4: heads of any depth that copy what they are given."""

import pytest
import torch

from huscf_flwr.models.spec import load_model_spec
from huscf_flwr.privacy.attacks.trap import has_room, spring, trap
from huscf_flwr.privacy.scoring import nearness
from tests.privacy.attacks.heads import batch, head, output, shape_of_images


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_trap_gives_images_and_labels_away_whatever_its_depth(blocks):
    """The floor is 40 dB; the head that was trained gives nothing to the same reading."""
    images, labels = batch(16)
    honest, crafted = head(blocks), head(blocks)
    states = trap(honest, shape_of_images())
    crafted.load({("discriminator", index): state for index, state in enumerate(states)})
    found = spring(honest, output(crafted, images, labels), shape_of_images())
    assert nearness(found.images, images).psnr > 40
    assert torch.equal(found.labels, labels)
    blind = spring(honest, output(honest, images, labels), shape_of_images())
    assert nearness(blind.images.nan_to_num(0, 0, 0), images).psnr < 15


def test_a_head_that_is_too_narrow_is_refused():
    narrow = head(2, load_model_spec("authors-28", 0.1))
    assert not has_room(narrow, shape_of_images())
    with pytest.raises(ValueError, match="a head of 2 blocks has no room for a trap"):
        trap(narrow, shape_of_images())
