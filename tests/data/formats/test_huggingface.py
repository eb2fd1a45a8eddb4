"""Data sets of Hugging Face: which column is what, what classes are called, and where the files lie."""

import numpy as np
import pytest
import torch

from huscf_flwr.data import DataError
from huscf_flwr.data.formats import huggingface as module
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.huggingface_parts import HubSet
from huscf_flwr.data.formats.places import classes_of_place, format_of_place, read_place, shape_of_place
from huscf_flwr.extras import MissingExtraError
from tests.data.formats.writing import (
    huggingface,
    same,
    some,
    write_huggingface,
    write_pictures,
)

datasets = pytest.importorskip("datasets")

TRAIN, TEST = some(12), some(6, seed=1)
ANIMALS = ["cow", "ant", "bee"]
ANY = Wanted()


def read(place, wanted=ANY):
    return read_place(place, wanted, split_test=False)


def arrays(labels, images=None):
    images = TRAIN.images[:, 0].tolist() if images is None else images
    return datasets.Dataset.from_dict({"image": images, "label": labels})


def test_classes_keep_the_order_that_the_data_set_gives_them(tmp_path):
    place = write_huggingface(
        tmp_path / "a", train=huggingface(TRAIN, ANIMALS), test=huggingface(TEST, ANIMALS)
    )
    found = read(place)
    assert found.class_names == tuple(ANIMALS)
    assert same(found.train, TRAIN)
    assert same(found.test, TEST)


def test_said_class_names_are_matched_with_those_that_are_there(tmp_path):
    place = write_huggingface(tmp_path / "a", train=huggingface(TRAIN, ANIMALS))
    found = read(place, Wanted(class_names=("ant", "bee", "cow")))
    assert found.train.labels.tolist() == [(label + 2) % 3 for label in TRAIN.labels.tolist()]
    with pytest.raises(DataError, match=r"class 'cow' is none of the class names.*cov"):
        read(place, Wanted(class_names=("ant", "bee", "cov")))


def test_classes_that_are_texts_are_labelled_in_alphabetical_order(tmp_path):
    place = write_huggingface(tmp_path / "a", train=arrays([ANIMALS[label] for label in TRAIN.labels]))
    found = read(place)
    assert found.class_names == ("ant", "bee", "cow")
    assert [found.class_names[label] for label in found.train.labels] == [
        ANIMALS[each] for each in TRAIN.labels
    ]
    assert torch.equal(found.train.images, TRAIN.images)
    assert classes_of_place(place, ANY) == 3


def test_parquet_and_arrow_files_are_parts_by_their_names(tmp_path):
    datasets.disable_progress_bars()
    for name, data in {"train-00000-of-00002": TRAIN, "train-00001-of-00002": TEST, "test": TEST}.items():
        path = tmp_path / "data" / f"{name}.parquet"
        huggingface(data).to_parquet(str(path))
    found = read(tmp_path)
    assert len(found.train) == 18
    assert same(found.test, TEST)
    assert same(read(tmp_path / "data" / "test.parquet").train, TEST)
    write_huggingface(tmp_path / "saved", train=huggingface(TRAIN))
    (arrow,) = (tmp_path / "saved").glob("train/*.arrow")
    assert same(read(arrow).train, TRAIN)
    assert "Hugging Face" in format_of_place(arrow)


def test_a_part_for_validation_joins_or_stands_in_and_others_are_named(tmp_path):
    parts = {"train": huggingface(TRAIN), "validation": huggingface(TEST)}
    found = read(write_huggingface(tmp_path / "a", **parts, unlabelled=huggingface(TEST)))
    assert same(found.test, TEST)
    assert ["unlabelled is not looked at" in found.notes[0], "taken for the test" in found.notes[1]] == [
        True
    ] * 2
    assert found.test.origins.name(5) == "validation image 5"
    found = read(write_huggingface(tmp_path / "b", **parts, test=huggingface(TEST)))
    assert len(found.train) == 18
    assert "6 images of validation join" in found.notes[0]
    assert [found.train.origins.name(place) for place in (11, 12, 17)] == [
        "training image 11",
        "validation image 0",
        "validation image 5",
    ]
    one = TEST.subset(torch.tensor([0]))
    found = read(
        write_huggingface(
            tmp_path / "c", train=huggingface(TRAIN), validation=huggingface(one), test=huggingface(TEST)
        )
    )
    assert "1 image of validation joins" in found.notes[0]


def test_classes_that_a_data_set_has_are_counted_if_nobody_has_images_of_them(tmp_path):
    """As classes that are called by their numbers, or as one-hot labels."""
    classes = [str(label) for label in range(5)]
    for place, train, test in (
        (tmp_path / "a", huggingface(TRAIN, classes), huggingface(TEST, classes)),
        (
            tmp_path / "b",
            arrays(np.eye(5, dtype=int)[TRAIN.labels].tolist()),
            arrays(np.eye(4, dtype=int)[TEST.labels].tolist(), TEST.images[:, 0].tolist()),
        ),
        (
            tmp_path / "c",
            arrays(TRAIN.labels.tolist()),
            arrays(np.eye(5, dtype=int)[TEST.labels].tolist(), TEST.images[:, 0].tolist()),
        ),
    ):
        write_huggingface(place, train=train, test=test)
        found = read(place)
        assert (found.class_names, found.classes, classes_of_place(place, ANY)) == ((), 5, 5)
        assert same(found.train, TRAIN)
        assert same(found.test, TEST)


def test_a_test_part_whose_labels_are_withheld_is_not_looked_at(tmp_path):
    withheld = arrays([-1] * 12)
    found = read(write_huggingface(tmp_path / "a", train=arrays(TRAIN.labels.tolist()), test=withheld))
    assert found.test is None
    assert "split test has no labels" in found.notes[0]


def test_other_columns_stay_with_the_training_images(tmp_path):
    writers = [f"writer-{number % 4}" for number in range(12)]
    whole = huggingface(TRAIN, writer=writers, age=list(range(12)))
    found = read_place(write_huggingface(tmp_path / "a", train=whole), ANY)
    assert found.train.columns["age"].tolist() == [
        age for age in range(12) if any(torch.equal(TRAIN.images[age], image) for image in found.train.images)
    ]
    assert found.train.columns["writer"].tolist() == [writers[age] for age in found.train.columns["age"]]


def test_columns_are_said_where_they_are_not_plain(tmp_path):
    both = huggingface(TRAIN).add_column("fine", TRAIN.labels.tolist())
    both = both.cast_column("fine", datasets.ClassLabel(names=["x", "y", "z"]))
    place = write_huggingface(tmp_path / "a", train=both)
    with pytest.raises(DataError, match=r"2 columns of labels \(label, fine\).*label_column"):
        read(place)
    assert read(place, Wanted(label_column="fine")).class_names == ("x", "y", "z")
    with pytest.raises(DataError, match=r"label_column is fin \(did you mean 'fine'"):
        read(place, Wanted(label_column="fin"))
    (tmp_path / "c.csv").write_text("0,1\n0,2\n")
    with pytest.raises(DataError, match="image_column says nothing of CSV; remove"):
        read(tmp_path / "c.csv", Wanted(image_column="fine"))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: datasets.Dataset.from_dict({"x": [1]}), "no column 'image'; it has x"),
        (lambda: arrays([0.5] * 12), r"column label: label 0\.5 of sample 0 is no whole number"),
        (lambda: arrays([0] * 11 + [None]), "train image 11 has no label"),
        (lambda: arrays([-1] + [0] * 11), "label -1 of sample 0 is out of range"),
        (lambda: arrays([0] * 12, (TRAIN.images[:, 0] / 255).tolist()), "float.* from 0.*255"),
        (lambda: arrays([0, 1], [[[1]], [[1, 2]]]), "differ in size"),
    ],
)
def test_what_is_no_set_of_labelled_images_is_refused_by_name(made, message, tmp_path):
    place = write_huggingface(tmp_path / "a", train=made())
    with pytest.raises(DataError, match=message) as caught:
        read(place)
    assert str(place) in str(caught.value)


def test_without_a_training_part_it_is_said_what_there_is(tmp_path):
    place = write_huggingface(tmp_path / "a", paintings=huggingface(TRAIN), sketches=huggingface(TEST))
    with pytest.raises(DataError, match="no images to train on; it has paintings, sketches"):
        read(place)
    assert same(read(write_huggingface(tmp_path / "b", paintings=huggingface(TRAIN))).train, TRAIN)


@pytest.mark.parametrize("left", [0, 100, 1500])
def test_a_damaged_file_is_refused_by_its_place(left, tmp_path):
    place = write_huggingface(tmp_path / "a", train=huggingface(TRAIN))
    (arrow,) = place.glob("train/*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:left])
    with pytest.raises(DataError, match=f"{place}: damaged"):
        read(place)


def test_a_picture_that_cannot_be_decoded_is_named_by_its_place(tmp_path):
    broken = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"what?", "path": None}], "label": [0]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    with pytest.raises(DataError, match="train image 0: not a picture"):
        read(write_huggingface(tmp_path / "a", train=broken))


def test_what_the_hub_has_is_read_likewise(monkeypatch):
    asked = []

    def load(*named):
        asked.append(named)
        return datasets.DatasetDict(
            {"train": huggingface(TRAIN, ANIMALS), "test": huggingface(TEST, ANIMALS)}
        )

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = read(HubSet.parse("somebody/animals:small"))
    assert asked[0] == ("somebody/animals", "small")
    assert same(found.train, TRAIN)
    assert shape_of_place(HubSet.parse("somebody/animals")) == (1, 6, 6)


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    def load(*named):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(
        DataError, match=r"hub:x/y: cannot be loaded \(ConnectionError: .*check the name and the"
    ):
        read(HubSet.parse("x/y"))


def test_without_the_extra_it_is_said_how_to_come_by_it(monkeypatch, tmp_path):
    place = write_huggingface(tmp_path / "a", train=huggingface(TRAIN))
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    for source in (place, HubSet.parse("x/y")):
        with pytest.raises(
            MissingExtraError, match=r"needs the extra 'datasets'.*pip install 'huscf-flwr\[datasets\]'"
        ):
            read(source)


def test_colour_stays_colour(tmp_path):
    colour = some(12, channels=3)
    as_arrays = datasets.Dataset.from_dict(
        {"image": colour.images.permute(0, 2, 3, 1).numpy().astype(np.int64).tolist(), "label": [0, 1, 2] * 4}
    )
    for name, data in {"pictures": huggingface(colour), "arrays": as_arrays}.items():
        assert same(read(write_huggingface(tmp_path / name, train=data)).train, colour)


def test_a_withheld_test_part_may_have_classes_with_names(tmp_path):
    named = huggingface(TRAIN, ANIMALS)
    withheld = datasets.Dataset.from_dict(
        {"image": TRAIN.images[:, 0].tolist(), "label": [-1] * 12}, features=named.features
    )
    place = write_huggingface(tmp_path / "a", train=named, test=withheld)
    found = read(place, Wanted(class_names=("ant", "bee", "cow")))
    assert len(found.train.labels) == 12
    assert found.test is None or not len(found.test)


def test_a_stray_file_does_not_make_a_folder_of_pictures_a_data_set(tmp_path):
    write_pictures(tmp_path / "pets", TRAIN)
    (tmp_path / "pets" / "state.json").write_text("{}")
    assert len(read(tmp_path / "pets").train) == 12


def test_a_data_set_reads_no_file_outside_of_its_folder(tmp_path):
    (tmp_path / "private.png").write_bytes(b"")
    rows = {"image": [{"bytes": None, "path": str(tmp_path / "private.png")}] * 3, "label": [0, 1, 2]}
    place = tmp_path / "set" / "train.parquet"
    place.parent.mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(str(place))
    with pytest.raises(DataError, match="names a file outside of the data set"):
        read(place.parent)


@pytest.mark.parametrize("name", ["", "..", "./"])
def test_a_data_set_on_the_hub_has_a_name(name):
    with pytest.raises(DataError, match="no data set is named; write hub:NAME"):
        HubSet.parse(name)


def test_what_lies_here_under_a_name_of_the_hub_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_huggingface(tmp_path / "ylecun" / "mnist", train=huggingface(some(6)))
    with pytest.raises(DataError, match=r"hub:ylecun/mnist: /.*ylecun/mnist is there too, .* without hub:"):
        read(HubSet.parse("ylecun/mnist"))


def test_arrays_that_are_read_in_parts_are_the_whole(tmp_path, monkeypatch):
    """Twelve images in parts of five, and a test part without images."""
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 5)
    whole = arrays(TRAIN.labels.tolist())
    for part, data in {"train": whole, "test": whole.select([])}.items():
        (tmp_path / "set").mkdir(exist_ok=True)
        data.to_parquet(str(tmp_path / "set" / f"{part}.parquet"))
    found = read(tmp_path / "set")
    assert torch.equal(found.train.images, TRAIN.images)
    assert found.test.images.shape == (0, 1, 6, 6)


def test_a_text_beside_an_image_takes_no_more_memory_where_another_is_long(tmp_path):
    texts = ["a" * 10_000, *"bcdefghijkl"]
    write_huggingface(tmp_path / "set", train=huggingface(TRAIN, caption=texts))
    caption = read(tmp_path / "set").train.columns["caption"]
    assert (caption.tolist(), caption.nbytes) == (texts, 12 * 8)
