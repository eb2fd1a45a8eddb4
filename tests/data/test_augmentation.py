import pytest
import torch

from huscf_flwr.data.augmentation import augmented


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    """A bright square off the middle of a dark image, eight times."""
    images = torch.full((8, 1, 28, 28), -1.0)
    images[:, :, 10:16, 12:20] = 1.0
    return images


def test_without_a_change_images_are_the_same_and_nothing_is_drawn(images):
    untouched = stream()
    assert augmented(images, "none", untouched) is images
    assert torch.equal(untouched.get_state(), stream().get_state())


@pytest.mark.parametrize("how", ["affine", "affine-flip"])
def test_each_image_is_changed_in_its_own_way_and_stays_in_range(images, how):
    changed = augmented(images, how, stream())
    assert changed.shape == images.shape
    assert changed.abs().max() <= 1 + 1e-6
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8
    assert not any(torch.equal(image, images[0]) for image in changed)


def test_what_is_shown_stays_on_the_image_and_about_as_large(images):
    lit = (augmented(images, "affine", stream()) > 0).sum((1, 2, 3))
    assert (lit > 0.6 * 48).all()
    assert (lit < 1.6 * 48).all()


def test_a_mirror_is_used_for_about_half_of_the_images_and_only_if_asked_for():
    images = torch.full((200, 1, 28, 28), -1.0)
    images[:, :, :, :8] = 1.0
    leftwards = {
        how: (changed := augmented(images, how, stream()))[..., :14].sum((1, 2, 3))
        > changed[..., 14:].sum((1, 2, 3))
        for how in ("affine", "affine-flip")
    }
    assert leftwards["affine"].all()
    assert 70 < leftwards["affine-flip"].sum() < 130


def test_changes_come_from_the_stream_whatever_the_type(images):
    first, again, other = (augmented(images, "affine", stream(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.testing.assert_close(augmented(images.double(), "affine", stream()).float(), first)


def test_no_images_are_no_images():
    assert augmented(torch.zeros(0, 3, 8, 8), "affine", stream()).shape == (0, 3, 8, 8)


def test_all_pixels_of_an_even_image_stay_as_they_are():
    """Pixels from outside are those of the nearest edge."""
    even = torch.full((4, 3, 16, 16), 0.25)
    torch.testing.assert_close(augmented(even, "affine-flip", stream()), even)
