"""Odd arrays in an .npz: read right, or refused in a line that names file and array and says what to do."""

import re
import warnings

import numpy as np
import pytest
import torch

from huscf_flwr.data import DataError, DomainSource, load_domain
from huscf_flwr.data.formats.found import FirstLabelError, Wanted
from huscf_flwr.data.formats.places import classes_of_place, read_place
from tests.data.formats.writing import some

DATA = some(30)
IMAGES, LABELS = DATA.images[:, 0].numpy(), DATA.labels.numpy()
SHARES = IMAGES / 255


def read(folder, images=IMAGES, labels=LABELS):
    """NumPy's own warnings, which say nothing of the file, are errors."""
    np.savez(folder / "a.npz", train_images=images, train_labels=labels)
    with warnings.catch_warnings(action="error"):
        return read_place(folder / "a.npz", Wanted(), split_test=False).train


def refusal(folder, images=IMAGES, labels=LABELS):
    with pytest.raises(DataError) as caught:
        read(folder, images, labels)
    message = str(caught.value)
    assert "\n" not in message
    array = "train_labels" if images is IMAGES else "train_images"
    assert message.startswith(f"{folder / 'a.npz'}, {array}"), message
    return message


def said_to_write(message, **known):
    """Return what comes of the expression that a message says to write."""
    hint = message.partition(": write ")[2].partition(" as unsigned bytes")[0]
    return eval(hint, {"int": int, "__builtins__": {}, **known})


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


@pytest.mark.parametrize(
    ("trained", "tested", "classes"), [(5, 5, 5), (5, 4, 5), (4, 5, 5), (5, None, 5), (None, 5, 5), (3, 3, 3)]
)
def test_one_hot_labels_say_how_many_classes_there_are(trained, tested, classes, tmp_path):
    """Their labels are 0 to 2, or whole numbers where there is no width; a test image may have the last."""

    def written(labels, width):
        return labels if width is None else np.eye(width)[labels]

    at_last = np.array([0, 1, 2 if tested is None else tested - 1])
    np.savez(
        tmp_path / "a.npz",
        train_images=IMAGES,
        train_labels=written(LABELS, trained),
        test_images=IMAGES[:3],
        test_labels=written(at_last, tested),
    )
    domain = load_domain(
        DomainSource(name="mine", folder=tmp_path / "a.npz"), root=None, cache=tmp_path, image=(1, 6)
    )
    assert domain.classes == classes_of_place(tmp_path / "a.npz", Wanted()) == classes
    assert domain.test.labels.tolist() == at_last.tolist()


def test_classes_of_one_hot_labels_are_counted_from_the_first_label(tmp_path):
    """As some write labels from 1 to 3: the first column is empty."""
    np.savez(tmp_path / "a.npz", train_images=IMAGES, train_labels=np.eye(5)[LABELS + 1])
    wanted = Wanted(first_label=1)
    assert classes_of_place(tmp_path / "a.npz", wanted) == 4
    assert read_place(tmp_path / "a.npz", wanted).classes == 4
    with pytest.raises(FirstLabelError, match=r"set first_label: 1 .* set classes: 5 \("):
        read_place(tmp_path / "a.npz", Wanted())


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
            "1 of 30 images has pixels that are NaN or infinite, the first is image 3: correct or remove it",
        ),
        (
            changed(SHARES, ([3, 4], 2, 2), [np.inf, -np.inf]),
            "2 of 30 images have pixels that are NaN or infinite, the first is image 3: correct or remove "
            "them",
        ),
        (changed(SHARES, (3, 2, 2), -np.inf), "the first is image 3"),
        (IMAGES.astype(complex), "pixels are complex128, but must be"),
        (IMAGES.astype(str), "pixels are <U"),
        (IMAGES[..., None].repeat(4, 3), "leave out the fourth channel: images[..., :3]"),
        (IMAGES[:, None].repeat(4, 1), "leave out the fourth channel: images[:, :3]"),
        (IMAGES[..., None].repeat(2, 3), "leave out the second channel: images[..., :1]"),
        (IMAGES[:, None].repeat(2, 1), "leave out the second channel: images[:, :1]"),
        (IMAGES[:, 0, :1], "[N, H, W, 3]; write them so"),
        (IMAGES.reshape(30, -1), "if each row is a square image, write images.reshape(-1, 6, 6)"),
        (np.uint8(3), "has shape []"),
    ],
)
def test_other_images_are_refused(images, said, tmp_path):
    assert said in refusal(tmp_path, images)


MEAN, STD = 0.485, 0.229


@pytest.mark.parametrize(
    ("pixels", "back"),
    [
        (IMAGES > 127, np.where(IMAGES > 127, 255, 0)),
        (SHARES, IMAGES),
        (SHARES.astype(np.float32), IMAGES),
        ((IMAGES > 127).astype(float), np.where(IMAGES > 127, 255, 0)),
        (SHARES * 2 - 1, IMAGES),
        (SHARES - 0.5, IMAGES),
        (IMAGES.astype(np.int16) - 128, IMAGES),
        (IMAGES.astype(np.float32) - 128, IMAGES),
        ((IMAGES.astype(np.int16) - 128).astype(np.int8), IMAGES),
        (IMAGES.astype(np.uint16) * 257, IMAGES),
        (SHARES * 1023, IMAGES),
        (SHARES * 2.5, IMAGES),
        (IMAGES * 0.9, (IMAGES * 0.9).round()),
        ((SHARES - MEAN) / STD, IMAGES),
        ((SHARES - 0.1307) / 0.3081, IMAGES),
        (((SHARES - MEAN) / STD).astype(np.float32), IMAGES),
        (((SHARES - MEAN) / STD).astype(np.float16), IMAGES),
    ],
)
def test_what_it_says_to_write_is_read_right(pixels, back, tmp_path):
    """Whoever does as the message says has their images."""
    mean, std = (0.1307, 0.3081) if pixels.min() > -1 else (MEAN, STD)
    written = said_to_write(refusal(tmp_path, pixels), images=pixels, mean=mean, std=std).astype(np.uint8)
    assert np.array_equal(read(tmp_path, written).images[:, 0].numpy(), back)


@pytest.mark.parametrize(
    "pixels",
    [
        ((SHARES - MEAN) / STD).round(),
        ((SHARES - MEAN) / STD).round().astype(int),
        IMAGES - 123.7,
        IMAGES.astype(int) * 2 - 255,
    ],
)
def test_nothing_is_said_to_write_of_what_cannot_be_known(pixels, tmp_path):
    """Normalised and made whole, or about another middle: any expression would give other images silently."""
    assert refusal(tmp_path, pixels).endswith(": write them from 0 to 255 as unsigned bytes")


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("axis", [1, 3])
def test_without_the_channel_that_it_says_to_leave_out_images_are_read(channels, axis, tmp_path):
    pixels = np.expand_dims(IMAGES, axis).repeat(channels, axis)
    hint = refusal(tmp_path, pixels).partition("channel: ")[2]
    found = read(tmp_path, eval(hint, {"images": pixels, "__builtins__": {}}))
    assert torch.equal(found.images, DATA.images.expand(-1, channels - 1, -1, -1))


@pytest.mark.parametrize("largest", [1023, 2.5])
def test_parts_are_to_be_divided_by_one_number(largest, tmp_path):
    """With each part's own largest, parts would differ in brightness."""
    message = refusal(tmp_path, (SHARES * largest).round(3))
    assert message.endswith(
        f", with the same number for all parts: in place of {largest} the largest that any of them has"
    )


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_a_part_may_have_no_images_whatever_their_type(dtype, tmp_path):
    none = np.zeros((0, *IMAGES.shape[1:]), dtype)
    np.savez(
        tmp_path / "a.npz",
        train_images=IMAGES,
        train_labels=LABELS,
        test_images=none,
        test_labels=np.zeros(0, int),
    )
    found = read_place(tmp_path / "a.npz", Wanted(), split_test=False)
    assert (len(found.train), len(found.test)) == (30, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_black_images_are_black_whatever_their_type(dtype, tmp_path):
    assert not read(tmp_path, np.zeros_like(IMAGES, dtype)).images.any()


@pytest.mark.parametrize("dtype", ["U", "S"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("tested", [["bee", "cow"], ["ant"], ["bat", "cow"]])
def test_texts_have_the_same_label_in_all_parts_if_written_as_it_says(dtype, shape, tested, tmp_path):
    """Also where the test part lacks classes, or has others."""
    train = np.array(["ant", "bee", "cow"] * 10, dtype).reshape(shape)
    test = np.array(tested, dtype).reshape(shape)
    message = refusal(tmp_path, labels=train)
    known = {"numpy": np, "train_labels": train, "test_labels": test, "__builtins__": {}}
    names = eval(message.partition("names = ")[2].partition(" for all")[0], known)
    for labels in (train, test):
        hint = message.partition(": write ")[2].partition(" for every part")[0]
        numbers = eval(hint, {**known, "names": names, "labels": labels})
        assert np.array_equal(names[numbers], labels)
