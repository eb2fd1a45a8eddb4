"""`huscf data`: what it shows of people's own images, and what it writes."""

import gzip

import numpy as np
import pytest
import torch
from PIL import Image

from huscf_flwr.data import LabelledImages
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.places import format_of_place, read_place
from huscf_flwr.data.progress import Paced
from tests.commands.animals import TEST, TRAIN
from tests.commands.invoking import invoke, refused, succeeded
from tests.data.formats.writing import huggingface, same, some, write_npz, write_pictures


def test_check_shows_what_is_found(animals, tmp_path):
    shown = succeeded(invoke("data", "check", animals, "--picture", tmp_path / "samples.png"))
    assert "folders of pictures" in shown
    assert "30 training and 6 test images, grey, 8 x 8 pixels" in shown
    assert [line.split()[1:8:2] for line in shown.splitlines() if "bee" in line] == [["1", "bee", "10", "2"]]
    assert "warning: fewer than 50 training images of every class" in shown
    assert Image.open(tmp_path / "samples.png").height > 100


def test_of_a_class_with_few_images_each_is_shown_once(tmp_path):
    few = LabelledImages(TRAIN.images[:9], torch.tensor([0] * 6 + [1] * 3))
    write_npz(tmp_path / "a.npz", train=few, test=TEST)
    drawn = tmp_path / "samples.png"
    succeeded(invoke("data", "check", tmp_path / "a.npz", "--picture", drawn))
    opaque = np.asarray(Image.open(drawn))[..., 3]
    # Tiles of 56 pixels with 3 between; two rows of eight places, of which captions are at the left.
    tiles = opaque[:, opaque.shape[1] - 8 * 59 + 3 :]
    shown = [[bool(tiles[top + 28, left * 59 + 28]) for left in range(8)] for top in (0, 59)]
    assert shown == [[True] * 6 + [False] * 2, [True] * 3 + [False] * 5]


def test_slow_reading_is_told(animals, monkeypatch):
    monkeypatch.setattr(Paced, "__call__", lambda self, what, done, total: self._tell(f"{what}: {done}"))
    assert f"reading {animals}: 3" in succeeded(invoke("data", "check", animals))


def test_check_warns_of_what_is_odd(tmp_path):
    write_npz(tmp_path / "a.npz", train=TRAIN, test=TRAIN)
    assert "warning: 30 of 30 test images are training images too" in succeeded(
        invoke("data", "check", tmp_path / "a.npz")
    )


def test_without_a_picture_it_is_said_how_to_get_one_and_nothing_is_written(animals, tmp_path, monkeypatch):
    """Copies of somebody's images are made where they say, and nowhere else."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert "a picture of samples of each class: --picture FILE.png" in succeeded(
        invoke("data", "check", animals)
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_few_copies_are_noted(tmp_path):
    """One of 150 images is a copy of another."""
    train = some(150)
    train.images[3] = train.images[0]
    write_npz(tmp_path / "a.npz", train=train, test=some(100, seed=1))
    shown = succeeded(invoke("data", "check", tmp_path / "a.npz"))
    assert "note: 1 of 150 training images is a copy of another of them" in shown
    assert "warning" not in shown


@pytest.mark.parametrize(("width", "absent"), [(3, ""), (4, "3"), (5, "3, 4")])
def test_classes_that_only_one_hot_labels_tell_of_are_told(width, absent, tmp_path):
    arrays = {}
    for part, data in (("train", TRAIN), ("test", TEST)):
        arrays |= {f"{part}_images": data.images[:, 0].numpy(), f"{part}_labels": np.eye(width)[data.labels]}
    np.savez(tmp_path / "a.npz", **arrays)
    shown = succeeded(invoke("data", "check", tmp_path / "a.npz"))
    assert (f"warning: classes without images: {absent};" in shown) == bool(absent)
    told = succeeded(invoke("data", "convert", tmp_path / "a.npz", tmp_path / "b.npz"))
    assert (f"say it with the domain: classes: {width}" in told) == bool(absent)


def test_labels_that_do_not_begin_at_0_hide_nothing_else(tmp_path):
    """Nor do test images of a class beyond those that are trained on."""
    train, test = (LabelledImages(data.images % 2, data.labels + 1) for data in (TRAIN, TEST))
    test.labels[0] = 5
    write_npz(tmp_path / "a.npz", train=train, test=test)
    shown = refused(invoke("data", "check", tmp_path / "a.npz", "--picture", tmp_path / "samples.png"))
    assert "warning: pixels end at 1, not at 255: multiply them by 255" in shown
    assert "warning: classes that only test images have: 5;" in shown
    assert (tmp_path / "samples.png").exists()
    error = shown[shown.index("error: ") :]
    assert "labels begin at 1 and end at 5" in error
    assert "set classes: 6" in error


def test_check_says_of_each_damaged_picture_what_is_wrong_with_it(animals):
    """A run, and convert, name the first few."""
    train, test = (sorted((animals / part).rglob("*.png")) for part in ("train", "test"))
    paths = [*train, *test][::3]
    for path in paths:
        path.write_bytes(b"?")
    shown = refused(invoke("data", "check", animals))
    assert [line for line in shown.splitlines() if ".png" in line] == [
        f"{path}: not a picture, whatever its name says; remove or replace it" for path in paths
    ]
    assert f"error: {animals}: 12 pictures cannot be read, as said above" in shown
    shown = refused(invoke("data", "convert", animals, animals.parent / "x.npz"))
    assert f"{paths[4]} and 7 more" in shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "nothing in it; write or copy it again"),
        ("\n \n", "nothing in it; write or copy it again"),
        ("\nlabel,pixel0\n", "its first line is empty; remove it"),
        ("what?", "its first line is 'what?', not"),
        ("x" * 100, f"its first line is '{'x' * 60}...', not"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_that_begins_with_something_else_is_told_apart_from_an_empty_one(
    content, said, packed, tmp_path
):
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert f"{path}: {said}" in refused(invoke("data", "check", path))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((15, 15), "2 holders with 12 training images"),
        ((15, 30), "2 holders with 12 to 24 training images"),
        ((15,), "1 holder with 12 training images"),
        ((2,), "1 holder with 1 training image\n1 training and 1 test image,"),
    ],
)
def test_numbers_of_holders_images_are_a_range_only_if_they_differ(sizes, said, tmp_path):
    for place, size in enumerate(sizes):
        write_npz(tmp_path / f"{place}.npz", train=some(size, classes=min(size // 2, 3)))
    assert said in succeeded(invoke("data", "check", tmp_path, "--by-holder"))


def test_check_says_what_to_do(tmp_path):
    (tmp_path / "a.csv").write_text("what?")
    assert f"{tmp_path / 'a.csv'}: its first line is 'what?'" in refused(
        invoke("data", "check", tmp_path / "a.csv")
    )


@pytest.mark.parametrize("form", ["pictures", "npz", "csv", "idx", "huggingface"])
@pytest.mark.parametrize("channels", [1, 3])
def test_convert_writes_what_can_be_read_again(form, channels, tmp_path):
    if form == "huggingface":
        pytest.importorskip("datasets")
    train, test = some(12, channels=channels), some(6, channels=channels, seed=1)
    place = write_npz(tmp_path / "a.npz", train=train, test=test)
    output = tmp_path / ("out.npz" if form == "npz" else "out")
    succeeded(invoke("data", "convert", place, output, "--to", form))
    found = read_place(output, Wanted())
    assert same(found.train, train)
    assert same(found.test, test)
    assert "something is there already" in refused(invoke("data", "convert", place, output, "--to", form))


@pytest.mark.parametrize(("name", "form"), [("out.npz", ".npz"), ("out.csv", "CSV"), ("OUT.NPZ", None)])
def test_convert_writes_what_the_name_of_the_output_says(name, form, tmp_path):
    place = write_npz(tmp_path / "a.npz", train=TRAIN, test=TEST)
    if form is None:
        assert "ends in .npz" in refused(invoke("data", "convert", place, tmp_path / name))
        return
    shown = succeeded(invoke("data", "convert", place, tmp_path / name))
    assert ("a folder with train.csv and test.csv" in shown) == (form == "CSV")
    assert format_of_place(tmp_path / name) == form
    assert same(read_place(tmp_path / name, Wanted()).train, TRAIN)


def test_where_nothing_says_the_format_all_are_named(tmp_path):
    place = write_npz(tmp_path / "a.npz", train=TRAIN)
    said = refused(invoke("data", "convert", place, tmp_path / "out"))
    assert "give --to pictures, --to npz, --to csv, --to idx, --to huggingface" in said
    assert not (tmp_path / "out").exists()
    succeeded(invoke("data", "convert", place, tmp_path / "out", "--as", "idx"))


def test_convert_keeps_names_and_brings_to_a_size(animals, tmp_path):
    succeeded(invoke("data", "convert", animals, tmp_path / "out", "--to", "pictures", "--size", 4))
    found = read_place(tmp_path / "out", Wanted())
    assert found.class_names == ("ant", "bee", "cow")
    assert found.train.images.shape == torch.Size([30, 1, 4, 4])


def test_any_format_is_brought_to_a_size(tmp_path):
    place = write_npz(tmp_path / "a.npz", train=TRAIN, test=TEST)
    succeeded(invoke("data", "convert", place, tmp_path / "b.npz", "--to", "npz", "--size", 4))
    found = read_place(tmp_path / "b.npz", Wanted())
    assert found.train.images.shape == torch.Size([30, 1, 4, 4])
    assert found.test.images.shape == torch.Size([6, 1, 4, 4])


def test_pictures_of_one_size_keep_it_and_others_are_said_to_be_padded(tmp_path):
    for number, height in enumerate((4, 6)):
        wide = LabelledImages(some(9, size=8).images[:, :, :height], some(9).labels)
        write_pictures(tmp_path / str(number), wide)
        write_pictures(tmp_path / "both", wide, names=[f"{name}{number}" for name in "abc"])
    succeeded(invoke("data", "convert", tmp_path / "0", tmp_path / "a.npz", "--to", "npz"))
    assert read_place(tmp_path / "a.npz", Wanted()).train.images.shape[2:] == (4, 8)
    shown = succeeded(invoke("data", "check", tmp_path / "both"))
    differ = "both: pictures differ in size: 4 to 6 pixels high and 8 wide"
    assert differ in shown
    assert "both: each picture becomes 8 x 8, padded with black" in shown
    smaller = succeeded(invoke("data", "check", tmp_path / "both", "--size", 3))
    assert "grey, 3 x 3 pixels" in smaller
    assert differ in smaller
    assert differ not in succeeded(invoke("data", "check", tmp_path / "0", "--size", 3))


def test_where_nothing_can_be_written_nothing_is_read(tmp_path):
    said = refused(invoke("data", "convert", tmp_path / "nowhere", tmp_path / "a.zip", "--to", "npz"))
    assert "a.zip: the name of such a file ends in .npz" in said


def test_the_hub_is_asked_for_what_is_named_so(monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *named: {"train": huggingface(TRAIN), "named": named}
    )
    shown = succeeded(invoke("data", "check", "hub:somebody/animals:small"))
    assert "hub:somebody/animals:small: a data set on Hugging Face's hub" in shown
    assert "24 training and 6 test images, grey, 8 x 8" in shown


def test_convert_keeps_columns_where_there_is_a_place_for_them_and_names_what_it_cannot_keep(tmp_path):
    """The writer of each image, and its source under a name that is taken."""
    writers, taken = [f"w{number % 4}" for number in range(12)], [f"s{number}" for number in range(12)]
    data = huggingface(some(12), names=["a", "b", "c"], writer=writers).rename_column("label", "letter")
    data = data.add_column("label", taken)
    data.save_to_disk(str(tmp_path / "set"))
    place, chosen = tmp_path / "set", ("--label-column", "letter")
    shown = succeeded(invoke("data", "convert", place, tmp_path / "again", "--to", "huggingface", *chosen))
    assert "columns that are not kept: label; these names are taken" in shown
    before, after = (
        read_place(each, Wanted(label_column=column))
        for each, column in ((place, "letter"), (tmp_path / "again", None))
    )
    assert after.train.columns["writer"].tolist() == before.train.columns["writer"].tolist()
    assert set(after.train.columns["writer"]) == {"w0", "w1", "w2", "w3"}
    assert after.class_names == ("a", "b", "c")
    shown = succeeded(invoke("data", "convert", tmp_path / "again", tmp_path / "x.npz", "--to", "npz"))
    assert "columns that are not kept: writer; only huggingface has a place for them" in shown
    assert "class names are not kept, since npz has no place for them" in shown
    assert "class_names: [a, b, c]" in shown
    shown = succeeded(invoke("data", "convert", tmp_path / "again", tmp_path / "x", "--to", "pictures"))
    assert "class names" not in shown


def test_who_holds_what_is_shown_and_kept(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "voices").mkdir()
    write_npz(tmp_path / "voices" / "ann.npz", train=some(15))
    write_npz(tmp_path / "voices" / "bob.npz", train=some(30, seed=1))
    assert "2 holders with 12 to 24 training images" in succeeded(
        invoke("data", "check", tmp_path / "voices", "--by-holder")
    )
    succeeded(
        invoke("data", "convert", tmp_path / "voices", tmp_path / "x", "--to", "huggingface", "--by-holder")
    )
    assert read_place(tmp_path / "x", Wanted()).train.columns["holder"].tolist() == [0] * 12 + [1] * 24


def test_an_empty_place_is_not_the_folder_where_one_is():
    assert "PLACE is empty" in refused(invoke("data", "check", ""))


def test_a_csv_of_images_that_are_no_squares_is_not_written(tmp_path):
    wide = LabelledImages(TRAIN.images[:, :, :4], TRAIN.labels)
    write_npz(tmp_path / "a.npz", train=wide)
    told = refused(invoke("data", "convert", tmp_path / "a.npz", tmp_path / "out", "--to", "csv"))
    assert "these images have 4 x 8: give a size, or another format" in told
    assert not (tmp_path / "out").exists()


def test_folders_of_classes_say_what_they_cannot_keep_and_what_to_write_instead(tmp_path):
    """The order of the names, and one that no folder can have. One without images is a class all the same."""
    pytest.importorskip("datasets")
    names = ["zebra", "../T - shirt", "none", "ant"]
    data = some(12)
    data.labels[data.labels == 2] = 3
    huggingface(data, names=names).save_to_disk(str(tmp_path / "set"))
    shown = succeeded(invoke("data", "convert", tmp_path / "set", tmp_path / "x" / "y", "--to", "pictures"))
    assert "'../T - shirt' is the folder '_T - shirt'" in shown
    assert "class_names: [zebra, _T - shirt, none, ant]" in shown
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["y"]
    assert {path.name for path in (tmp_path / "x" / "y" / "train").iterdir()} == {
        "zebra",
        "_T - shirt",
        "none",
        "ant",
    }
    said = ("zebra", "_T - shirt", "none", "ant")
    before, after = (
        read_place(tmp_path / "set", Wanted()),
        read_place(tmp_path / "x" / "y", Wanted(class_names=said)),
    )
    assert same(before.train, after.train)
    assert len(read_place(tmp_path / "x" / "y", Wanted()).class_names) == 4


def test_names_in_the_order_of_the_alphabet_need_no_setting(tmp_path):
    pytest.importorskip("datasets")
    huggingface(some(12, classes=2), names=["ant", "bee", "cow"]).save_to_disk(str(tmp_path / "set"))
    shown = succeeded(invoke("data", "convert", tmp_path / "set", tmp_path / "x", "--to", "pictures"))
    assert "class" not in shown
    assert read_place(tmp_path / "x", Wanted()).class_names == ("ant", "bee", "cow")


@pytest.mark.parametrize(
    ("fit", "done", "dark"),
    [(None, "padded with black", 4), ("crop", "cropped to the middle", 0), ("stretch", "stretched", 0)],
)
def test_what_becomes_of_images_that_are_not_square_is_said_and_chosen(fit, done, dark, tmp_path):
    wide = LabelledImages(torch.full((9, 1, 4, 8), 200, dtype=torch.uint8), some(9).labels)
    place = write_npz(tmp_path / "a.npz", train=wide, test=wide)
    chosen = ("--size", 8, *(() if fit is None else ("--fit", fit)))
    note = f"{place}: images of 4 x 8 pixels, height first, are {done}: --fit is {fit or 'pad'}"
    assert f"note: {note}" in succeeded(invoke("data", "check", place, *chosen))
    assert note in succeeded(invoke("data", "convert", place, tmp_path / "b.npz", *chosen))
    images = read_place(tmp_path / "b.npz", Wanted()).train.images
    assert int((images[0, 0, :, 0] < 100).sum()) == dark


def test_a_size_below_that_of_the_images_costs_detail_which_is_said(tmp_path):
    place = write_npz(tmp_path / "a.npz", train=TRAIN, test=TEST)
    assert "images lose detail, from 8 to 4 pixels, as --size says" in succeeded(
        invoke("data", "check", place, "--size", 4)
    )


def test_a_fit_that_can_change_nothing_is_refused(tmp_path):
    place = write_npz(tmp_path / "a.npz", train=TRAIN, test=TEST)
    assert "--fit is crop, but images stay 8 x 8 pixels: give --size too" in refused(
        invoke("data", "check", place, "--fit", "crop")
    )


def test_pictures_of_several_sizes_are_fitted_as_is_said(tmp_path):
    for height, name in ((4, "a"), (8, "b")):
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (8, height), 200).save(tmp_path / "x" / name / f"{number}.png")
    shown = succeeded(invoke("data", "convert", tmp_path / "x", tmp_path / "o.npz", "--fit", "stretch"))
    assert "each picture becomes 8 x 8, stretched: --fit is stretch" in shown
    assert (read_place(tmp_path / "o.npz", Wanted()).train.images == 200).all()


def test_columns_are_said_of_holders_too(tmp_path):
    datasets = pytest.importorskip("datasets")
    for name in ("ann", "bob"):
        both = huggingface(some(15)).add_column("fine", some(15).labels.tolist())
        both.cast_column("fine", datasets.ClassLabel(names=["x", "y", "z"])).save_to_disk(
            str(tmp_path / "v" / name)
        )
    chosen = ("--by-holder", "--label-column", "fine")
    assert "2 holders with 12 training images" in succeeded(invoke("data", "check", tmp_path / "v", *chosen))
