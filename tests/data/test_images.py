import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.data import (
    DataError,
    LabelledImages,
    PooledImages,
    convert,
    denormalise,
    normalise,
)


def of(images: torch.Tensor) -> LabelledImages:
    return LabelledImages(images, torch.zeros(len(images), dtype=torch.int64))


def test_normalise_covers_the_range_of_tanh():
    pixels = torch.tensor([0, 255], dtype=torch.uint8)
    assert normalise(pixels).tolist() == [-1.0, 1.0]
    assert normalise(pixels).dtype == torch.float32
    assert normalise(pixels, torch.float64).dtype == torch.float64


def test_denormalise_undoes_normalise_for_every_byte():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(denormalise(normalise(pixels)), pixels)


def test_denormalise_clips_values_out_of_range():
    assert denormalise(torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


def test_a_subset_keeps_order_and_labels():
    data = LabelledImages(
        torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1), torch.tensor([10, 11, 12, 13])
    )
    chosen = data.subset(torch.tensor([3, 1]))
    assert len(chosen) == 2
    assert chosen.images.flatten().tolist() == [3, 1]
    assert chosen.labels.tolist() == [13, 11]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, 1, dtype=torch.int64)),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_malformed_images_are_refused(images, labels):
    with pytest.raises(DataError):
        LabelledImages(images, labels)


def test_images_of_the_right_form_are_not_copied():
    data = of(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    assert convert(data, 1, 8) is data


@given(value=st.integers(0, 255), channels=st.sampled_from([(1, 3), (3, 1), (1, 1), (3, 3)]))
def test_a_uniform_image_keeps_its_brightness(value, channels):
    before, after = channels
    images = convert(of(torch.full((2, before, 9, 7), value, dtype=torch.uint8)), after, 12, "crop")
    assert images.images.shape == (2, after, 12, 12)
    assert (images.images.int() - value).abs().max() <= 1


def test_grey_is_luma_and_colour_is_three_times_grey():
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert convert(of(red), 1, 1).images.item() == 60  # 0.299 * 200 = 59.8
    grey = torch.tensor([[[[7]]]], dtype=torch.uint8)
    assert convert(of(grey), 3, 1).images.flatten().tolist() == [7, 7, 7]


def test_many_images_are_converted_like_one():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2050, 1, 4, 4), generator=generator, dtype=torch.uint8)
    together = convert(of(images), 1, 6).images
    assert len(together) == 2050
    for index in (0, 2047, 2048, 2049):
        alone = convert(of(images[index : index + 1]), 1, 6).images
        assert torch.equal(together[index : index + 1], alone)


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(DataError, match="4 channels"):
        convert(of(torch.zeros(1, 4, 2, 2, dtype=torch.uint8)), 3, 2)


@pytest.mark.parametrize("form", [(1, 28), (3, 28), (3, 8)])
def test_no_images_are_converted_to_no_images(form):
    channels, size = form
    nothing = of(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).none
    assert convert(nothing, channels, size).images.shape == (0, channels, size, size)


@pytest.mark.parametrize(
    ("fit", "row"),
    [("pad", [0, 1, 1, 0]), ("crop", [1, 1]), ("stretch", [1, 1, 1])],
)
@pytest.mark.parametrize("lying", [False, True])
def test_an_image_that_is_not_square_becomes_so_as_is_said(fit, row, lying):
    """Two columns of ones, four pixels high: worked by hand, at the size that each way has without "
    "resizing."""
    image = torch.ones(1, 1, 4, 2, dtype=torch.uint8)
    expected = torch.tensor(row, dtype=torch.uint8).expand(len(row), -1)
    if lying:
        image, expected = image.mT, expected.T
    assert torch.equal(convert(of(image), 1, len(row), fit).images[0, 0], expected)


def test_what_is_left_when_an_image_is_padded_or_cropped_by_an_odd_number():
    image = torch.arange(1, 7, dtype=torch.uint8).reshape(1, 1, 2, 3)
    assert convert(of(image), 1, 3, "pad").images[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 0]]
    assert convert(of(image), 1, 2, "crop").images[0, 0].tolist() == [[1, 2], [4, 5]]


def test_pooled_images_are_those_of_their_shares():
    pixels, labels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3)
    pooled = PooledImages(pixels, labels, (2, 0, 1))
    assert len(pooled) == 3
    assert pooled.subset(torch.tensor([2])).labels.tolist() == [2]
    with pytest.raises(DataError, match="shares of 2 images, but 3 images"):
        PooledImages(pixels, labels, (2,))
    with pytest.raises(DataError, match="uint8"):
        PooledImages(pixels.float(), labels, (3,))
