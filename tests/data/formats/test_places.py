"""Every format gives the same images, a test part where there is none, and messages that name what is "
"wrong."""

import gzip

import numpy as np
import pytest
import torch

from huscf_flwr.data import DataError, LabelledImages, write_idx, write_idx_folder
from huscf_flwr.data.formats import places
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.places import read_place, shape_of_place
from huscf_flwr.data.images import DescribedImages, ImageForm
from huscf_flwr.data.progress import progress_told
from tests.data.formats.writing import (
    channels_last,
    huggingface,
    same,
    some,
    write_huggingface,
    write_npz,
    write_pictures,
    write_table,
)

TRAIN, TEST = some(12), some(6, seed=1)
ANY = Wanted()


def picture_folders(place, train, test):
    write_pictures(place / "train", train)
    if test is not None:
        write_pictures(place / "test", test)
    return place


def one_npz(place, train, test):
    place.mkdir()
    write_npz(place / "set.npz", train=train, **({} if test is None else {"test": test}))
    return place


def tables(place, train, test):
    place.mkdir()
    write_table(place / "my_train.csv", train)
    if test is not None:
        write_table(place / "my_test.csv", test)
    return place


def idx(place, train, test):
    write_idx_folder(place, train, some(0) if test is None else test)
    for path in place.glob("t10k-*") if test is None else ():
        path.unlink()
    return place


def hugging_face(place, train, test):
    parts = {"train": train, **({} if test is None else {"test": test})}
    names = [str(label) for label in range(int(train.labels.max()) + 1)]
    return write_huggingface(place, **{name: huggingface(data, names) for name, data in parts.items()})


FORMATS = [picture_folders, one_npz, tables, idx, hugging_face]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_gives_the_images_that_were_written(write, channels, tmp_path):
    train, test = some(12, channels=channels), some(6, channels=channels, seed=1)
    place = write(tmp_path / "place", train, test)
    found = read_place(place, ANY)
    assert same(found.train, train)
    assert same(found.test, test)
    assert found.notes == ()
    assert shape_of_place(place) == (channels, 6, 6)


@pytest.mark.parametrize("write", FORMATS)
def test_without_a_test_part_a_fifth_of_every_label_becomes_one(write, tmp_path):
    whole = some(30)
    place = write(tmp_path / "place", whole, None)
    found = read_place(place, ANY)
    assert same(together(found.train, found.test), whole)
    assert found.test.labels.bincount().tolist() == [2, 2, 2]
    assert "no test part" in found.notes[0]
    assert "6 of 30" in found.notes[0]
    again = read_place(place.rename(tmp_path / "elsewhere"), ANY)
    assert torch.equal(again.test.images, found.test.images)


@pytest.mark.parametrize("write", FORMATS[:3] + FORMATS[4:])
def test_reading_tells_how_far_it_is(write, tmp_path):
    place, told = write(tmp_path / "place", TRAIN, TEST), []
    with progress_told(lambda what, done, total: told.append(what)):
        read_place(place, Wanted(ImageForm(1, 6)))
    assert any("reading" in what and str(place) in what for what in told)


@pytest.mark.parametrize("write", FORMATS)
def test_nothing_is_split_off_for_the_owner_of_a_place(write, tmp_path):
    found = read_place(write(tmp_path / "place", TRAIN, None), ANY, split_test=False)
    assert found.test is None
    assert same(found.train, TRAIN)


def together(*parts):
    return LabelledImages(
        torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
    )


def test_a_label_with_one_image_has_it_to_train_on(tmp_path):
    whole = LabelledImages(some(20).images, torch.tensor([0] * 19 + [1]))
    for name, labels in {"a": whole.labels, "b": 1 - whole.labels}.items():
        write_npz(tmp_path / f"{name}.npz", train=LabelledImages(whole.images, labels))
        found = read_place(tmp_path / f"{name}.npz", ANY)
        assert set(found.train.labels.tolist()) == {0, 1}
        assert len(found.test) in (3, 4)


@pytest.mark.parametrize("write", FORMATS)
def test_labels_that_begin_at_one_are_refused_unless_that_is_said(write, tmp_path):
    one_more = [LabelledImages(data.images, data.labels + 1) for data in (TRAIN, TEST)]
    if write is picture_folders:
        for part, data in zip(("train", "test"), one_more, strict=True):
            write_pictures(tmp_path / "place" / part, data, names=("0", "1", "2", "3"))
    else:
        write(tmp_path / "place", *one_more)
    with pytest.raises(DataError, match=r"labels begin at 1 and end at 3.*first_label: 1.*classes: 4"):
        read_place(tmp_path / "place", ANY)
    with pytest.raises(DataError, match=r"labels begin at 1.*first_label: 1"):
        read_place(tmp_path / "place", Wanted(classes=3))
    assert same(read_place(tmp_path / "place", Wanted(first_label=1)).train, TRAIN)
    assert same(read_place(tmp_path / "place", Wanted(first_label=1, classes=3)).test, TEST)
    assert same(read_place(tmp_path / "place", Wanted(classes=4)).test, one_more[1])


def test_a_first_label_above_the_least_is_refused(tmp_path):
    with pytest.raises(DataError, match="first_label is 1, but an image has label 0"):
        read_place(write_npz(tmp_path / "a.npz", train=TRAIN), Wanted(first_label=1))


def test_a_label_out_of_range_is_named_with_its_place(tmp_path):
    place = write_npz(tmp_path / "a.npz", train=TRAIN, test=TEST)
    with pytest.raises(
        DataError, match=r"a\.npz, train_labels: label 2 of sample 2 is out of range.*0\.\.1: .*class_names"
    ):
        read_place(place, Wanted(classes=2))


@pytest.mark.parametrize("split", ["letters", "digits"])
def test_emnists_names_are_known_and_its_images_are_turned_upright(split, tmp_path):
    for part, data in (("train", TRAIN), ("test", TEST)):
        name = f"emnist-{split}-{part}"
        write_idx(
            tmp_path / f"{name}-images-idx3-ubyte.gz", np.ascontiguousarray(data.images[:, 0].mT.numpy())
        )
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", data.labels.numpy().astype(np.uint8))
    (tmp_path / f"emnist-{split}-mapping.txt").write_text("0 65 97\n1 66 98\n2 67 99\n")
    for place in (tmp_path, tmp_path / f"emnist-{split}"):
        found = read_place(place, ANY)
        assert torch.equal(found.train.images, TRAIN.images)
        assert torch.equal(found.test.images, TEST.images)
        assert found.class_names == ("A", "B", "C")
        assert "upright" in found.notes[0]
    (tmp_path / "emnist-mnist-train-images-idx3-ubyte").touch()
    with pytest.raises(DataError, match=f"several sets, .*emnist-{split}.*give one"):
        read_place(tmp_path, ANY)


@pytest.mark.parametrize(("prefix", "name"), [("", "test"), ("emnist-letters-", "t10k")])
def test_the_test_part_may_have_either_of_its_names(prefix, name, tmp_path):
    for part, data in (("train", TRAIN), (name, TEST)):
        pixels = data.images[:, 0].mT if prefix else data.images[:, 0]
        write_idx(tmp_path / f"{prefix}{part}-images-idx3-ubyte", np.ascontiguousarray(pixels.numpy()))
        write_idx(tmp_path / f"{prefix}{part}-labels-idx1-ubyte", data.labels.numpy().astype(np.uint8))
    found = read_place(tmp_path, ANY)
    assert same(found.train, TRAIN)
    assert same(found.test, TEST)
    (tmp_path / f"{prefix}{'t10k' if name == 'test' else 'test'}-labels-idx1-ubyte").touch()
    with pytest.raises(DataError, match=r"t10k-.* and .*test-.* are of two test parts; remove one"):
        read_place(tmp_path, ANY)


@pytest.mark.parametrize("text", ["0 65\n1", "0 65\na 66", "0 65\n1 9999999", "0 65\n1 55296", "0 65\n1 65"])
def test_a_damaged_mapping_of_emnist_is_named(text, tmp_path):
    for part, data in (("train", TRAIN), ("test", TEST)):
        write_idx(tmp_path / f"emnist-x-{part}-images-idx3-ubyte", data.images[:, 0].numpy())
        write_idx(tmp_path / f"emnist-x-{part}-labels-idx1-ubyte", data.labels.numpy().astype(np.uint8))
    (tmp_path / "emnist-x-mapping.txt").write_text(text)
    with pytest.raises(DataError, match=r"emnist-x-mapping\.txt: damaged"):
        read_place(tmp_path, ANY)


@pytest.mark.parametrize("test", [None, TEST])
def test_images_for_validation_join_the_training_images_or_take_the_tests_place(test, tmp_path):
    extra = some(3, seed=2)
    parts = {"train": TRAIN, "val": extra, **({} if test is None else {"test": test})}
    write_npz(tmp_path / "a.npz", **parts)
    for part, data in parts.items():
        write_pictures(tmp_path / "pictures" / part, data)
    for place in (tmp_path / "a.npz", tmp_path / "pictures"):
        found = read_place(place, ANY)
        assert same(found.train, TRAIN if test is None else together(TRAIN, extra))
        assert same(found.test, extra if test is None else test)
        assert "val" in found.notes[0]


@pytest.mark.parametrize("name", ["x.npy", "x.zip", "x.csv", "x.png", "x.txt", "x-ubyte.gz", "x.npz"])
def test_a_file_that_exists_is_never_no_such_folder(name, tmp_path):
    (tmp_path / name).write_bytes(b"what?")
    with pytest.raises(DataError) as caught:
        read_place(tmp_path / name, ANY)
    assert str(tmp_path / name) in str(caught.value)
    assert "no such" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder or file"):
        read_place(tmp_path / "nowhere", ANY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no images.*train_images.*\.csv.*train-images-idx3"):
        read_place(tmp_path / "empty", ANY)
    write_npz(tmp_path / "empty" / "a.npz", train=TRAIN)
    write_npz(tmp_path / "empty" / "b.npz", train=TRAIN)
    with pytest.raises(DataError, match=r"2 \.npz files; give one of them \(a\.npz, b\.npz\)"):
        read_place(tmp_path / "empty", ANY)


def npz_of(**arrays):
    return lambda path: np.savez(path, **arrays)


PIXELS, LABELS = channels_last(TRAIN), TRAIN.labels.numpy()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS}, "no array train_images"),
        ({"train_images": PIXELS}, r"no array train_labels; it has train_images"),
        ({"train_images": PIXELS, "train_labels": LABELS[:5]}, "5 train_labels for 12 train_images"),
        ({"train_images": PIXELS / 255, "train_labels": LABELS}, r"float64 from 0.*255 \* images"),
        ({"train_images": PIXELS * 0.9, "train_labels": LABELS}, r"float64 from .*images\.round\(\)"),
        ({"train_images": PIXELS.astype(int) * 2, "train_labels": LABELS}, "int64 from 0 to 5"),
        ({"train_images": PIXELS.astype(int) - 1, "train_labels": LABELS}, "int64 from -1"),
        ({"train_images": PIXELS[:, 0], "train_labels": LABELS}, r"shape \[12, 6\], which is neither"),
        ({"train_images": np.zeros((12, 6, 6, 4), np.uint8), "train_labels": LABELS}, "neither grey"),
        ({"train_images": PIXELS, "train_labels": LABELS * 0.5}, r"label 0\.5 of sample 1 is no whole"),
        ({"train_images": PIXELS, "train_labels": np.zeros((12, 14), int)}, "several labels"),
        ({"train_images": PIXELS, "train_labels": LABELS - 1}, "label -1 of sample 0"),
        ({"train_images": PIXELS, "train_labels": np.array(["a"] * 12, dtype=object)}, "Python objects"),
    ],
)
def test_arrays_that_are_no_labelled_images_are_refused_by_name(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        read_place(tmp_path / "a.npz", ANY)
    assert str(tmp_path / "a.npz") in str(caught.value)


def test_integers_of_any_type_and_channels_first_are_taken(tmp_path):
    colour = some(12, channels=3)
    np.savez(tmp_path / "a.npz", train_images=colour.images.numpy().astype(np.int64), train_labels=LABELS)
    assert same(read_place(tmp_path / "a.npz", ANY, split_test=False).train, colour)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_an_npz_that_is_cut_off_is_refused_by_name(share, tmp_path):
    path = write_npz(tmp_path / "a.npz", train=TRAIN, test=TEST)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"a\.npz: damaged"):
        read_place(path, ANY)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("header", [True, False])
def test_a_table_may_lack_a_header_and_be_zipped(header, channels, tmp_path):
    data = some(12, channels=channels)
    path = write_table(tmp_path / "a.csv", data, header=header)
    assert same(read_place(path, ANY, split_test=False).train, data)
    packed = tmp_path / "b.CSV.GZ"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert same(read_place(packed, ANY, split_test=False).train, data)


def test_the_label_may_be_the_last_column_and_a_test_file_may_lack_it(tmp_path):
    write_table(tmp_path / "train.csv", TRAIN, label_last=True)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "test.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    found = read_place(tmp_path, ANY)
    assert same(together(found.train, found.test), TRAIN)
    assert [note.partition(" ")[0].rpartition("/")[2] for note in found.notes] == [
        "sample_submission.csv",
        "test.csv",
        f"{tmp_path.name}:",
    ]


HEADER = "label,a,b,c,d\n"


def line(label, pixels):
    return f"{label}," + ",".join(map(str, pixels)) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing in it; write or copy it again"),
        ("hello\n", "its first line is 'hello'"),
        ("label,a,b,c,d\n", "no images, only a header"),
        ("label,a,b,c\n" + line(0, [1, 2, 3, 4]), "first line has 4 columns and the others 5"),
        ("label,a,b,c,d,e\n" + line(0, [1, 2, 3, 4, 5]), "5 pixels a line are neither"),
        (line(0, [1, 2, 3, 256]), "line 1: pixel '256' in column 5 is no whole number from 0 to 255"),
        (HEADER + line(0, [1, 2, 3, 0.5]), "line 2: pixel '0.5' in column 5 is no whole number"),
        (line(0, [1, 2, 3, 4]) + line(0, [1, 2, 3]), "line 2 has 4 values, and the first line 5"),
        (line(0, [1, 2, 3, 4]) + line("cat", [1, 2, 3, 4]), "line 2: label 'cat' is no whole number"),
        (
            HEADER + "\n" + line(0, [1, 2, 3, 4]) + line(-1, [1, 2, 3, 4]),
            "line 4: its label is -1, but .*at 0;",
        ),
        (HEADER + line(300, [1, 2, 3, 4]), "line 2: label '300' is no whole number from 0 to 255"),
        ("emotion,pixels,Usage\n0,0.5,Training\n", "no column 'label', but emotion, pixels, Usage; give"),
    ],
)
def test_a_table_of_something_else_is_refused_by_name(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_place(tmp_path / "a.csv", ANY)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_a_form_is_wanted_of_every_format(tmp_path):
    """Only folders of pictures need it while they are read; nobody else minds."""
    for write in FORMATS:
        found = read_place(write(tmp_path / write.__name__, TRAIN, TEST), Wanted(ImageForm(1, 6)))
        assert same(found.train, TRAIN)


def test_a_part_for_testing_is_split_off_without_a_copy_of_the_rest(tmp_path):
    """More images than are moved at once; who holds them, and all else that is known, moves with them."""
    count = 3 * places._AT_ONCE + 5
    images = torch.arange(count * 4).reshape(count, 1, 2, 2) % 251
    columns = {"writer": np.arange(count).astype(str)}
    data = DescribedImages(
        images.to(torch.uint8), torch.arange(count) % 7, columns, holders=torch.arange(count) % 3
    )
    expected, where = data.images.clone(), data.images.data_ptr()
    train, test = places.without_test_share(data)
    assert train.images.data_ptr() == where
    assert abs(len(test) - count / 5) < 7
    numbers = [[int(name) for name in part.columns["writer"]] for part in (train, test)]
    assert sorted(numbers[0] + numbers[1]) == list(range(count))
    for part, own in zip((train, test), numbers, strict=True):
        assert torch.equal(part.images, expected[own])
        assert part.labels.tolist() == [number % 7 for number in own]
        assert part.holders.tolist() == [number % 3 for number in own]


def test_labels_that_are_no_classes_no_images_and_images_of_two_forms_are_refused(tmp_path):
    ids = LabelledImages(TRAIN.images, TRAIN.labels * 10**15)
    np.savez(tmp_path / "ids.npz", train_images=channels_last(ids), train_labels=ids.labels.numpy())
    with pytest.raises(DataError, match=r"ids.npz, train_labels: label 10{15} of sample 1 .* such as ids"):
        read_place(tmp_path / "ids.npz", ANY)
    write_npz(tmp_path / "none.npz", train=TRAIN.none, test=TEST)
    with pytest.raises(DataError, match=r"none\.npz: no images to train on"):
        read_place(tmp_path / "none.npz", ANY)
    write_npz(tmp_path / "two.npz", train=TRAIN, test=some(6, channels=3, size=7))
    with pytest.raises(DataError, match=r"form \[1, 6, 6\] .*, test images \[3, 7, 7\]; bring them to one"):
        read_place(tmp_path / "two.npz", ANY)


def test_a_table_whose_last_column_looks_like_the_labels_is_asked_about(tmp_path):
    """Without a header, as MNIST's are, the first column is the label: a pixel that is always dark."""
    data = some(30, size=4)
    data.images[:, :, 0, 0] = 0
    rows = torch.cat([data.images.flatten(1).long(), data.labels[:, None]], dim=1).tolist()
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    assert any("the last looks more like one" in note for note in read_place(tmp_path / "a.csv", ANY).notes)
    write_table(tmp_path / "b.csv", data, header=False)
    assert not any("looks more like" in note for note in read_place(tmp_path / "b.csv", ANY).notes)
