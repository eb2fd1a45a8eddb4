"""What is odd about images is said once, in a sentence; what is not odd is not mentioned."""

import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.data.findings import findings
from tests.data.formats.writing import some

TRAIN, TEST = some(30), some(6, seed=1)


def changed(data, images=None, labels=None):
    return LabelledImages(
        data.images if images is None else images, data.labels if labels is None else labels
    )


def test_nothing_is_said_of_ordinary_images():
    assert findings(TRAIN, TEST, 3) == []
    assert findings(TRAIN, TRAIN.none, 3) == []


@pytest.mark.parametrize(("highest", "factor"), [(1, 255), (15, 17)])
def test_pixels_of_another_range(highest, factor):
    dark = changed(TRAIN, TRAIN.images % (highest + 1))
    assert findings(dark, TEST, 3)[0] == f"pixels end at {highest}, not at 255: multiply them by {factor}"


def test_constant_and_repeated_images():
    images = TRAIN.images.clone()
    images[:2] = torch.tensor([3, 4], dtype=torch.uint8)[:, None, None, None]
    assert [odd[:20] for odd in findings(changed(TRAIN, images), TEST, 3)] == ["2 training images ha"]
    images[4] = images[5]
    assert findings(changed(TRAIN, images), TEST, 3)[1] == "1 of 30 training images are there more than once"


def test_classes_that_are_absent_or_only_tested():
    train = changed(TRAIN, labels=TRAIN.labels % 2)
    only, absent = findings(train, TEST, 4, ("ant", "bee", "cow", "dog"))
    assert "only test images have: cow;" in only
    assert "without images: dog;" in absent


def test_test_images_that_are_trained_on():
    test = changed(TEST, torch.cat([TRAIN.images[:2], TEST.images[2:]]))
    assert findings(TRAIN, test, 3) == [
        "2 of 6 test images are training images too: scores on them mean little"
    ]


def test_too_few_to_learn_from():
    assert findings(some(14), TEST, 3) == ["14 training images of 3 classes are too few to learn from"]
