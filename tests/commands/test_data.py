"""`huscf data`: what it shows of people's own images, and what it writes."""

import pytest
import torch
from PIL import Image

from huscf_flwr.data import LabelledImages
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.places import read_place
from huscf_flwr.data.progress import Paced
from tests.commands.invoking import invoke, refused, succeeded
from tests.data.formats.writing import huggingface, same, some, write_npz, write_pictures

TRAIN, TEST = some(30, size=8), some(6, size=8, seed=1)


@pytest.fixture
def animals(tmp_path):
    write_pictures(tmp_path / "animals" / "train", TRAIN, names=("ant", "bee", "cow"))
    write_pictures(tmp_path / "animals" / "test", TEST, names=("ant", "bee", "cow"))
    return tmp_path / "animals"


def test_check_shows_what_is_found(animals, tmp_path):
    shown = succeeded(invoke("data", "check", animals, "--picture", tmp_path / "samples.png"))
    assert "folders of pictures" in shown
    assert "30 training and 6 test images, grey, 8 x 8 pixels" in shown
    assert [line.split()[1:8:2] for line in shown.splitlines() if "bee" in line] == [["1", "bee", "10", "2"]]
    assert "warning" not in shown
    assert Image.open(tmp_path / "samples.png").height > 100


def test_slow_reading_is_told(animals, monkeypatch):
    monkeypatch.setattr(Paced, "__call__", lambda self, what, done, total: self._tell(f"{what}: {done}"))
    assert f"reading {animals}: 3" in succeeded(invoke("data", "check", animals))


def test_check_warns_of_what_is_odd(tmp_path):
    write_npz(tmp_path / "a.npz", train=TRAIN, test=TRAIN)
    assert "warning: 30 of 30 test images are training images too" in succeeded(
        invoke("data", "check", tmp_path / "a.npz")
    )


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
    assert "pictures differ in size; each becomes 8 x 8, padded with black" in shown


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
