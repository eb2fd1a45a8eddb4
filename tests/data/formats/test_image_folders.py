"""Folders of pictures: which folder is which label, pictures of several sizes, and what is refused."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from huscf_flwr.data import DataError
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.holders import read_holders
from huscf_flwr.data.formats.places import read_place, shape_of_place
from huscf_flwr.data.images import ImageForm
from huscf_flwr.data.progress import progress_told
from tests.data.formats.writing import same, some, write_pictures

DATA = some(12)
ANY = Wanted()


def read(folder, wanted=ANY):
    return read_place(folder, wanted, split_test=False)


def test_labels_are_the_places_of_the_names_in_the_alphabet(tmp_path):
    found = read(write_pictures(tmp_path / "x", DATA, names=("ant", "bee", "cow")))
    assert same(found.train, DATA)
    assert found.class_names == ("ant", "bee", "cow")
    assert found.train.labels.tolist() == sorted(found.train.labels.tolist())


def test_names_that_are_numbers_are_the_labels(tmp_path):
    """Not their places as texts, with which 10 comes before 2."""
    found = read(write_pictures(tmp_path / "x", some(12, classes=11), names=[str(n) for n in range(11)]))
    assert same(found.train, some(12, classes=11))
    assert found.class_names == ()


def test_class_names_say_the_labels_and_a_folder_may_be_missing(tmp_path):
    folder = write_pictures(tmp_path / "x", some(12, classes=2), names=("cow", "ant"))
    names = ("cow", "bee", "ant")
    found = read(folder, Wanted(classes=3, class_names=names))
    assert found.class_names == names
    assert found.train.labels.bincount().tolist() == [6, 0, 6]
    with pytest.raises(DataError, match=r"folder 'cow' is none of the class names.*ant, cows"):
        read(folder, Wanted(class_names=("ant", "cows")))


def test_a_client_that_lacks_a_class_does_not_number_the_others_anew(tmp_path):
    folder = write_pictures(tmp_path / "x", some(12, classes=2), names=("ant", "cow"))
    with pytest.raises(DataError, match=r"2 classes \(ant, cow\), but there are 3.*class-names"):
        read(folder, Wanted(classes=3))


def test_a_class_without_pictures_keeps_its_label(tmp_path):
    folder = write_pictures(tmp_path / "x", some(12, classes=2), names=("ant", "cow"))
    (folder / "bee").mkdir()
    found = read(folder)
    assert found.class_names == ("ant", "bee", "cow")
    assert found.train.labels.bincount().tolist() == [6, 0, 6]


def test_what_is_no_picture_and_what_is_hidden_is_passed_over(tmp_path):
    folder = write_pictures(tmp_path / "x", DATA)
    (folder / "a" / "Thumbs.db").touch()
    (folder / "a" / "._000.png").write_bytes(b"resource fork")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / "README.txt").touch()
    assert same(read(folder).train, DATA)
    assert read(folder).class_names == ("a", "b", "c")


def test_a_class_called_train_is_a_class(tmp_path):
    found = read(write_pictures(tmp_path / "x", DATA, names=("boat", "plane", "train")))
    assert found.class_names == ("boat", "plane", "train")
    assert same(found.train, DATA)


def picture_of(path, height, width, value=200, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if channels == 1 else (height, width, 3)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)


@pytest.fixture
def mixed(tmp_path):
    picture_of(tmp_path / "x" / "a" / "1.png", 8, 4)
    picture_of(tmp_path / "x" / "a" / "2.png", 6, 6, channels=3)
    picture_of(tmp_path / "x" / "b" / "1.png", 10, 40)
    return tmp_path / "x"


def test_pictures_of_several_sizes_are_brought_to_the_form_that_is_wanted(mixed):
    assert shape_of_place(mixed) == (3, 8, 6)
    for fit, columns in (("pad", 2), ("crop", 4), ("stretch", 4)):
        images = read(mixed, Wanted(ImageForm(3, 4, fit))).train.images
        assert images.shape == (3, 3, 4, 4)
        assert int((images[0, 0, 2] > 150).sum()) == columns, fit
        assert (images[1] == 200).all()


def test_pictures_of_several_sizes_need_a_form(mixed):
    with pytest.raises(DataError, match="3 different sizes"):
        read(mixed)


def test_grey_and_colour_together_are_colour(tmp_path):
    picture_of(tmp_path / "x" / "a" / "1.png", 4, 4, 7)
    picture_of(tmp_path / "x" / "a" / "2.png", 4, 4, 9, channels=3)
    images = read(tmp_path / "x").train.images
    assert images.shape == (2, 3, 4, 4)
    assert torch.equal(images[:, :, 0, 0], torch.tensor([[7] * 3, [9] * 3], dtype=torch.uint8))


def test_folders_of_folders_are_domains_and_no_classes(tmp_path):
    for style in ("photo", "sketch"):
        write_pictures(tmp_path / "pacs" / style, DATA)
    with pytest.raises(DataError, match=r"photo, sketch hold folders of pictures.*data\.root"):
        read(tmp_path / "pacs")


def test_pictures_without_a_folder_have_no_class(tmp_path):
    picture_of(tmp_path / "x" / "1.png", 4, 4)
    with pytest.raises(DataError, match=r"1 picture lies directly in it.*put it into a folder of its class"):
        read(tmp_path / "x")
    picture_of(tmp_path / "x" / "2.png", 4, 4)
    with pytest.raises(DataError, match=r"2 pictures lie directly in it.*put each into a folder"):
        read(tmp_path / "x")


def test_a_damaged_picture_is_named(tmp_path):
    folder = write_pictures(tmp_path / "x", DATA)
    (folder / "b" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"b/broken\.jpg"):
        read(folder)


def test_a_test_class_that_training_lacks_keeps_its_label_apart(tmp_path):
    write_pictures(tmp_path / "x" / "train", some(12, classes=2), names=("a", "c"))
    write_pictures(tmp_path / "x" / "test", some(3), names=("a", "b", "c"))
    found = read(tmp_path / "x")
    assert found.class_names == ("a", "b", "c")
    assert found.train.labels.bincount().tolist() == [6, 0, 6]
    assert found.test.labels.bincount().tolist() == [1, 1, 1]


def test_a_link_that_leads_back_is_refused(tmp_path):
    write_pictures(tmp_path / "a", some(6))
    (tmp_path / "a" / "b" / "again").symlink_to(tmp_path / "a" / "b")
    with pytest.raises(
        DataError, match=r"again: a link to .*a/b, whose pictures are there already; remove it"
    ):
        read_place(tmp_path / "a", Wanted())


def test_how_far_reading_is_is_told_of_all_pictures_and_not_of_each(tmp_path):
    told = []
    write_pictures(tmp_path / "a", DATA)
    with progress_told(lambda *each: told.append(each)):
        read(tmp_path / "a", Wanted(image=ImageForm(1, 4)))
    reading = [(done, total) for what, done, total in told if what == f"reading {tmp_path / 'a'}"]
    assert reading == [(done, 12) for done in range(13)]
    assert {what.split()[0] for what, *_ in told} == {"listing", "reading"}


def parts(place, *names):
    for number, name in enumerate(names):
        write_pictures(place / name, some(6, seed=number))
    return place


def test_train_is_a_part_whatever_lies_beside_it_and_what_does_is_named(tmp_path):
    place = parts(tmp_path / "x", "train", "extra")
    picture_of(place / "unlabelled" / "1.png", 6, 6)
    picture_of(place / "stray.png", 6, 6)
    (place / "docs").mkdir()
    found = read(place)
    assert found.class_names == ("a", "b", "c")
    assert same(found.train, some(6))
    assert found.test is None
    named = {note.partition(":")[0] for note in found.notes}
    assert named == {str(place), str(place / "unlabelled"), str(place / "extra")}
    assert all("not looked at" in note for note in found.notes)


def test_test_pictures_without_classes_are_named_and_not_a_part(tmp_path):
    place = parts(tmp_path / "x", "train")
    for number in range(3):
        picture_of(place / "test" / f"{number}.png", 6, 6)
    found = read(place)
    assert found.test is None
    (note,) = found.notes
    assert note.startswith(f"{place / 'test'}: pictures lie directly in it")


@pytest.mark.parametrize(
    "twins", [("train", "training"), ("val", "valid"), ("val", "validation"), ("Test", "test")]
)
def test_two_folders_for_one_part_are_refused(twins, tmp_path):
    place = parts(tmp_path / "x", *dict.fromkeys(("train", *twins)))
    with pytest.raises(DataError, match=f"{' and '.join(sorted(twins))} are both for"):
        read(place)


def test_of_two_names_of_a_part_the_one_with_classes_is_it(tmp_path):
    place = parts(tmp_path / "x", "training", "test")
    (place / "train" / "logs").mkdir(parents=True)
    assert same(read(place).train, some(6))


@pytest.mark.parametrize(
    ("count", "said"), [(1, "the 1 image of .*val joins the"), (2, "the 2 images of .*val join the")]
)
def test_pictures_that_join_others_are_counted(count, said, tmp_path):
    place = parts(tmp_path / "x", "train", "test")
    write_pictures(place / "val", some(count))
    assert re.match(said, read(place).notes[0])


def test_folders_of_one_class_are_called_so(tmp_path):
    place = write_pictures(tmp_path / "x", some(4, classes=1))
    with pytest.raises(DataError, match=r"folders of 1 class \(a\), but there are 2"):
        read_place(place, Wanted(classes=2))
    with pytest.raises(DataError, match=r": 1 class \(a\), but there are 2"):
        read_holders(tmp_path, Wanted(classes=2))


def test_pictures_in_a_part_without_classes_are_told_where_they_lie(tmp_path):
    picture_of(tmp_path / "x" / "train" / "1.png", 4, 4)
    with pytest.raises(DataError, match=r"x/train: 1 picture lies directly in it.*folder of its class"):
        read(tmp_path / "x")
