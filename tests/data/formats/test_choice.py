"""Of a folder that holds several things, what is certain to be images is read, and the rest is named."""

import numpy as np
import pytest

from huscf_flwr.data import DataError, write_idx_folder
from huscf_flwr.data.formats.choice import place_named
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.huggingface_parts import HubSet
from huscf_flwr.data.formats.places import format_of_place, read_place
from tests.data.formats.writing import (
    huggingface,
    same,
    some,
    write_huggingface,
    write_npz,
    write_pictures,
    write_table,
)

TRAIN = some(12)
OTHER = some(6, seed=9)


def archive(place):
    place.mkdir(exist_ok=True)
    write_npz(place / "set.npz", train=TRAIN)


def tables(place):
    place.mkdir(exist_ok=True)
    write_table(place / "train.csv", TRAIN)


def idx(place):
    write_idx_folder(place, TRAIN, TRAIN.none)
    for path in place.glob("t10k-*"):
        path.unlink()


def saved(place):
    write_huggingface(place, train=huggingface(TRAIN))


COMPLETE = {
    "folders of pictures": lambda place: write_pictures(place, TRAIN),
    ".npz": archive,
    "CSV": tables,
    "files with MNIST's names": idx,
    "a data set of Hugging Face": saved,
}

UNRELATED = {
    "metadata.csv": lambda path: path.write_text("file_name,label\na.png,0\nb.png,1\n"),
    "boxes.csv": lambda path: path.write_text("label,x,y,w,h\ncat,1,2,3,4\n"),
    "damaged.csv": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "stats.npz": lambda path: np.savez(path, mean=np.zeros(3)),
    "damaged.npz": lambda path: path.write_bytes(b"PK"),
    "t10k-labels-idx1-ubyte": lambda path: path.touch(),
    "preview/0.png": lambda path: write_pictures(path.parent.parent, OTHER, names=["preview"] * 3),
    "metadata.parquet": lambda path: path.touch(),
}
"""By name."""


OWN = {
    ("folders of pictures", "preview/0.png"),
    ("files with MNIST's names", "t10k-labels-idx1-ubyte"),
    ("a data set of Hugging Face", "metadata.parquet"),
}
"""What is unrelated to other formats is a part of this one."""


@pytest.mark.parametrize(
    ("form", "other"), [(form, other) for form in COMPLETE for other in UNRELATED if (form, other) not in OWN]
)
def test_nothing_unrelated_hides_a_complete_folder(form, other, tmp_path):
    place = tmp_path / "place"
    COMPLETE[form](place)
    (place / other).parent.mkdir(exist_ok=True)
    UNRELATED[other](place / other)
    found = read_place(place, Wanted(), split_test=False)
    assert format_of_place(place) == form
    assert same(found.train, TRAIN)
    named = {"preview/0.png": "folders of pictures", "t10k-labels-idx1-ubyte": "MNIST's"}.get(other, other)
    (note,) = found.notes
    assert "not looked at" in note
    assert named in note


def test_the_files_of_one_data_set_are_all_looked_at(tmp_path):
    huggingface(TRAIN).save_to_disk(str(tmp_path / "place"))
    found = read_place(tmp_path / "place", Wanted(), split_test=False)
    assert found.notes == ()
    assert same(found.train, TRAIN)


def test_of_two_complete_sets_it_is_said_which_is_read(tmp_path):
    archive(tmp_path)
    write_table(tmp_path / "other.csv", OTHER)
    found = read_place(tmp_path, Wanted(), split_test=False)
    assert same(found.train, TRAIN)
    assert found.notes == (f"{tmp_path}: read as .npz; not looked at: other.csv",)


def test_archives_that_are_holders_or_domains_hide_no_pictures(tmp_path):
    write_pictures(tmp_path, TRAIN)
    for name in ("ann", "bob"):
        write_npz(tmp_path / f"{name}.npz", train=OTHER)
    found = read_place(tmp_path, Wanted(), split_test=False)
    assert same(found.train, TRAIN)
    assert "not looked at: ann.npz, bob.npz" in found.notes[0]


@pytest.mark.parametrize(("name", "said"), [("metadata.csv", "pixel 'a.png'"), ("stats.npz", "no array")])
def test_what_lies_there_alone_is_told_what_is_wrong_with_it(name, said, tmp_path):
    UNRELATED[name](tmp_path / name)
    with pytest.raises(DataError, match=said):
        read_place(tmp_path, Wanted())


def test_a_place_is_named_as_people_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place_named("~/x") == tmp_path / "x"
    assert place_named("hub:somebody/animals:small") == HubSet("somebody/animals", "small")
    with pytest.raises(DataError, match="no data set is named"):
        place_named("hub:")
