import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from huscf_flwr.data import (
    DataError,
    LabelledImages,
    read_idx,
    read_idx_folder,
    write_idx,
    write_idx_folder,
)

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)


def some_images(count: int, channels: int = 1, seed: int = 0) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, 5, 4), generator=generator, dtype=torch.uint8)
    return LabelledImages(images, torch.arange(count) % 10)


def same(left: LabelledImages, right: LabelledImages) -> bool:
    return torch.equal(left.images, right.images) and torch.equal(left.labels, right.labels)


@settings(max_examples=50, deadline=None)
@given(array=arrays.arrays(np.uint8, SHAPES), zipped=st.booleans())
def test_arrays_survive_a_round_trip(array, zipped, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if zipped else "file")
    write_idx(path, array)
    assert np.array_equal(read_idx(path), array)
    assert read_idx(path).shape == array.shape


def test_the_bytes_follow_the_format(tmp_path):
    write_idx(tmp_path / "file", np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))
    expected = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
    assert (tmp_path / "file").read_bytes() == expected


def test_gzipped_files_are_recognised_by_content_and_have_no_time_stamp(tmp_path):
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_idx(tmp_path / "a.gz", array)
    write_idx(tmp_path / "b.gz", array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    (tmp_path / "a.gz").rename(tmp_path / "plain-name")
    assert np.array_equal(read_idx(tmp_path / "plain-name"), array)


@settings(max_examples=60, deadline=None)
@given(
    array=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)),
    zipped=st.booleans(),
    share=st.floats(0, 1, exclude_max=True),
)
def test_a_file_truncated_anywhere_is_refused_by_name(array, zipped, share, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / ("cut.gz" if zipped else "cut")
    write_idx(path, array)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"cut.*again"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(b"\x89PNG\r\n", "not an idx file", id="picture"),
        pytest.param(b"\0\0\x08\0", "not an idx file", id="no dimensions"),
        pytest.param(b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "type 0x0d", id="floats"),
        pytest.param(b"\0\0\x08\x02\0\0\0\x01", "within its idx header", id="half a header"),
        pytest.param(b"\0\0\x08\x01\0\0\0\x02\x07", "2 bytes, but it holds 1", id="too short"),
        pytest.param(b"\0\0\x08\x01\0\0\0\x01\x07\x07", "1 bytes, but it holds more", id="too long"),
        pytest.param(
            b"\0\0\x08\x03" + b"\xff" * 12 + b"\x07",
            "damaged or truncated|but it holds 1",
            id="more than memory holds",
        ),
        pytest.param(
            gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x07"), "2 bytes, but it holds 1", id="zipped and too short"
        ),
        pytest.param(
            gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x07")[:-8] + b"\0" * 8, "damaged", id="zipped and damaged"
        ),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(content, message, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file"):
        read_idx(tmp_path / "nowhere")


@pytest.mark.parametrize("array", [np.zeros(3, dtype=np.int64), np.array(3, dtype=np.uint8)])
def test_arrays_that_idx_cannot_hold_are_not_written(array, tmp_path):
    with pytest.raises(DataError, match="unsigned bytes"):
        write_idx(tmp_path / "file", array)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_folders_survive_a_round_trip(channels, tmp_path):
    train, test = some_images(7, channels), some_images(3, channels, seed=1)
    write_idx_folder(tmp_path / "mine", train, test)
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    dimensions = 3 if channels == 1 else 4
    assert names[2:] == [f"train-images-idx{dimensions}-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    for read, written in zip(read_idx_folder(tmp_path / "mine"), (train, test), strict=True):
        assert same(read, written)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"], "temporary files are left"


def test_a_folder_may_hold_its_files_under_raw(tmp_path):
    write_idx_folder(tmp_path / "mnist" / "raw", some_images(4), some_images(2))
    assert len(read_idx_folder(tmp_path / "mnist")[0]) == 4


def test_other_spellings_of_the_file_names(tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))
        path.rename(path.with_name(path.name.replace("-idx", ".idx").removesuffix(".gz")))
    assert same(read_idx_folder(tmp_path / "a")[0], some_images(4))


def test_a_folder_with_something_in_it_is_neither_replaced_nor_kept_silently(tmp_path):
    (tmp_path / "empty").mkdir()
    write_idx_folder(tmp_path / "empty", some_images(4), some_images(2))
    with pytest.raises(DataError, match=r"empty: something is there already"):
        write_idx_folder(tmp_path / "empty", some_images(9), some_images(2))
    write_idx_folder(tmp_path / "empty", some_images(9), some_images(2), keep=True)
    assert len(read_idx_folder(tmp_path / "empty")[0]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["empty"], "temporary files are left"


def test_twins_must_be_the_same(tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    packed = tmp_path / "a" / "train-images-idx3-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    assert same(read_idx_folder(tmp_path / "a")[0], some_images(4))
    rewrite(tmp_path / "a", packed.stem, some_images(4, seed=1).images[:, 0].numpy())
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte and .*\.gz hold different things"):
        read_idx_folder(tmp_path / "a")


def test_a_folder_raw_that_has_nothing_to_do_with_it_hides_nothing(tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    (tmp_path / "a" / "raw").mkdir()
    (tmp_path / "a" / "raw" / "IMG_1.NEF").touch()
    assert same(read_idx_folder(tmp_path / "a")[0], some_images(4))


@pytest.mark.parametrize("label", [-1, 256])
def test_a_label_that_does_not_fit_is_not_written_as_another(label, tmp_path):
    wrong = LabelledImages(some_images(1).images, torch.tensor([label]))
    with pytest.raises(DataError, match=f"label {label} does not fit"):
        write_idx_folder(tmp_path / "a", wrong, some_images(1))
    assert not list(tmp_path.iterdir())


def test_labels_that_begin_at_one_are_told_what_to_say(tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    rewrite(tmp_path / "a", "train-labels-idx1-ubyte.gz", np.array([1, 2, 3, 4]))
    with pytest.raises(DataError, match=r"train-labels.*labels begin at 1.*first_label: 1"):
        read_idx_folder(tmp_path / "a", classes=4)


def rewrite(folder: Path, name: str, array: np.ndarray) -> None:
    write_idx(folder / name, array.astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte.gz", np.array([0, 1, 10, 3]), "label 10 of sample 2 .*0..9"),
        ("train-labels-idx1-ubyte.gz", np.array([0, 1]), "2 labels for the 4 images"),
        ("train-labels-idx1-ubyte.gz", np.array([0]), "1 label for the 4 images"),
        ("train-labels-idx1-ubyte.gz", np.zeros((4, 1)), "not a list of labels"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((2, 5)), "neither grey images"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((2, 5, 5, 2)), "neither grey images"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((0, 5, 5)), "neither grey images"),
    ],
)
def test_invalid_content_is_refused_with_the_file_name(name, array, message, tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    rewrite(tmp_path / "a", name, array)
    with pytest.raises(DataError, match=message) as caught:
        read_idx_folder(tmp_path / "a", classes=10)
    assert name in str(caught.value)


@pytest.mark.parametrize("part", ["train", "t10k"])
@pytest.mark.parametrize("what", ["images", "labels"])
def test_each_missing_file_is_named(part, what, tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    next((tmp_path / "a").glob(f"{part}-{what}*")).unlink()
    with pytest.raises(DataError, match=f"{part}-{what}-idx.*no such file"):
        read_idx_folder(tmp_path / "a")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read_idx_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("files", ["missing", "empty"])
def test_where_no_test_images_are_needed_there_may_be_none(files, channels, tmp_path):
    train = some_images(4, channels)
    write_idx_folder(tmp_path / "a", train, train.none)
    if files == "missing":
        for path in (tmp_path / "a").glob("t10k-*"):
            path.unlink()
    with pytest.raises(DataError, match="t10k-images"):
        read_idx_folder(tmp_path / "a")
    read, test = read_idx_folder(tmp_path / "a", needs_test=False)
    assert same(read, train)
    assert len(test) == 0
    assert test.images.shape == (0, channels, 5, 4)


@pytest.mark.parametrize("what", ["images", "labels"])
def test_half_a_test_set_is_an_error_even_where_none_is_needed(what, tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    next((tmp_path / "a").glob(f"t10k-{what}*")).unlink()
    with pytest.raises(DataError, match=f"t10k-{what}-idx.*no such file"):
        read_idx_folder(tmp_path / "a", needs_test=False)


def test_test_images_that_are_not_needed_are_read_and_checked(tmp_path):
    write_idx_folder(tmp_path / "a", some_images(4), some_images(2))
    assert same(read_idx_folder(tmp_path / "a", needs_test=False)[1], some_images(2))
    rewrite(tmp_path / "a", "t10k-labels-idx1-ubyte.gz", np.array([1, 10]))
    with pytest.raises(DataError, match=r"t10k-labels.*label 10 of sample 1"):
        read_idx_folder(tmp_path / "a", classes=10, needs_test=False)


def test_training_images_are_always_needed(tmp_path):
    write_idx_folder(tmp_path / "a", some_images(0), some_images(2))
    with pytest.raises(DataError, match="train-images"):
        read_idx_folder(tmp_path / "a", needs_test=False)


def test_a_header_that_claims_more_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(struct.pack(">4B4I", 0, 0, 8, 4, 60_000, 60_000, 60_000, 3))
    with pytest.raises(DataError, match="huge"):
        read_idx(path)
