"""Odd arrays in an .npz: read right, or refused in a line that names file and array and says what to do."""

import re

import numpy as np
import pytest
import torch

from huscf_flwr.data import DataError
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.places import read_place
from tests.data.formats.writing import some

DATA = some(30)
IMAGES, LABELS = DATA.images[:, 0].numpy(), DATA.labels.numpy()
SHARES = IMAGES / 255


def read(folder, images=IMAGES, labels=LABELS):
    np.savez(folder / "a.npz", train_images=images, train_labels=labels)
    return read_place(folder / "a.npz", Wanted(), split_test=False).train


def refusal(folder, images=IMAGES, labels=LABELS):
    with pytest.raises(DataError) as caught:
        read(folder, images, labels)
    message = str(caught.value)
    assert "\n" not in message
    array = "train_labels" if images is IMAGES else "train_images"
    assert message.startswith(f"{folder / 'a.npz'}, {array}"), message
    return message


def changed(array, place, value):
    array = array.astype(np.float64)
    array[place] = value
    return array


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1)])
def test_labels_of_any_type_are_read_if_they_are_one_whole_number_an_image(dtype, shape, tmp_path):
    assert torch.equal(read(tmp_path, labels=LABELS.reshape(shape).astype(dtype)).labels, DATA.labels)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32"])
def test_one_hot_labels_are_read(dtype, tmp_path):
    assert torch.equal(read(tmp_path, labels=np.eye(3, dtype=dtype)[LABELS]).labels, DATA.labels)


@pytest.mark.parametrize("dtype", ["int16", "uint64", "float16", "float32", "float64"])
def test_whole_pixels_of_any_type_are_read(dtype, tmp_path):
    assert torch.equal(read(tmp_path, IMAGES.astype(dtype)).images, DATA.images)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS.astype(object), "Python objects, which only a pickle holds"),
        (np.array(["ant", "bee", "cow"] * 10), r"are texts, such as \['ant'\]"),
        (np.array([b"ant", b"bee", b"cow"] * 10), r"are texts, such as \[b'ant'\]"),
        (changed(LABELS, 7, np.nan), "label nan of sample 7 is no whole number of a class; 1 of 30"),
        (changed(LABELS, 7, np.inf), "label inf of sample 7"),
        (changed(LABELS, 7, 0.5), "label 0.5 of sample 7 is no whole number of a class; 1 of 30"),
        (LABELS.astype(np.uint64) + np.uint64(2**63), "label 9223372036854775808 of sample 0"),
        (np.ones((30, 3), int), r"int64 of shape \[30, 3\], .* nor one-hot; .*several labels"),
        (np.zeros((30, 3), int), "nor one-hot"),
        (np.eye(3)[LABELS] / 2, "nor one-hot"),
        (np.int64(3), r"of shape \[\]"),
        (LABELS.astype("datetime64[s]"), r"datetime64\[s\] of shape"),
    ],
)
def test_other_labels_are_refused(labels, said, tmp_path):
    assert re.search(said, refusal(tmp_path, labels=labels))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.array([*IMAGES, None], dtype=object)[:30], "Python objects, which only a pickle holds"),
        (
            changed(IMAGES, (3, 2, 2), np.nan),
            "1 of 30 images have pixels that are NaN or infinite, the first is image 3",
        ),
        (changed(SHARES, (3, 2, 2), -np.inf), "the first is image 3"),
        (IMAGES.astype(complex), "pixels are complex128, but must be"),
        (IMAGES.astype(str), "pixels are <U"),
        (IMAGES[..., None].repeat(4, 3), "leave out the fourth channel: images[..., :3]"),
        (IMAGES[:, None].repeat(4, 1), "leave out the fourth channel: images[:, :3]"),
        (IMAGES.reshape(30, -1), "if each row is a square image, write images.reshape(-1, 6, 6)"),
        (np.uint8(3), "has shape []"),
    ],
)
def test_other_images_are_refused(images, said, tmp_path):
    assert said in refusal(tmp_path, images)


@pytest.mark.parametrize(
    ("pixels", "back"),
    [
        (IMAGES > 127, np.where(IMAGES > 127, 255, 0)),
        (SHARES, IMAGES),
        (SHARES.astype(np.float32), IMAGES),
        ((IMAGES > 127).astype(float), np.where(IMAGES > 127, 255, 0)),
        (SHARES * 2 - 1, IMAGES),
        (IMAGES.astype(np.int16) - 128, IMAGES),
        ((IMAGES.astype(np.int16) - 128).astype(np.int8), IMAGES),
        (IMAGES.astype(np.uint16) * 257, IMAGES),
        (IMAGES * 0.9, (IMAGES * 0.9).round()),
    ],
)
def test_what_it_says_to_write_is_read_right(pixels, back, tmp_path):
    """Whoever does as the message says has their images."""
    hint = refusal(tmp_path, pixels).partition(": write ")[2].removesuffix(" as unsigned bytes")
    written = eval(hint, {"images": pixels, "int": int, "__builtins__": {}}).astype(np.uint8)
    assert np.array_equal(read(tmp_path, written).images[:, 0].numpy(), back)
