"""A folder with a part for each who holds images is one domain, and it is known who holds which."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from huscf_flwr.data import DataError, DomainSource, ShuffledPasses, load_domain
from huscf_flwr.data.formats.found import Wanted
from huscf_flwr.data.formats.holders import classes_of_holders, parts_of, read_holders, shape_of_holders
from huscf_flwr.data.images import ImageForm
from tests.data.formats.writing import (
    huggingface,
    same,
    some,
    write_huggingface,
    write_npz,
    write_pictures,
    write_table,
)

ANY = Wanted()


def test_parts_of_any_format_are_joined_in_the_order_of_their_names(tmp_path):
    ann, bob, cas = (some(count, seed=seed) for seed, count in enumerate((6, 9, 3)))
    write_table(tmp_path / "bob.csv", bob)
    write_npz(tmp_path / "ann.npz", train=ann)
    write_npz(tmp_path / "cas.npz", train=cas)
    (tmp_path / ".hidden").write_text("nobody's")
    found = read_holders(tmp_path, ANY, split_test=False)
    assert [path.name for path in parts_of(tmp_path)] == ["ann.npz", "bob.csv", "cas.npz"]
    assert found.train.holders.tolist() == [0] * 6 + [1] * 9 + [2] * 3
    assert found.test is None
    for holder, own in enumerate((ann, bob, cas)):
        assert same(found.train.subset(torch.nonzero(found.train.holders == holder)[:, 0]), own)
    assert (shape_of_holders(tmp_path), classes_of_holders(tmp_path, ANY)) == ((1, 6, 6), 3)


def test_test_images_of_all_holders_are_the_domains_and_holders_stay_with_their_images(tmp_path):
    """Brought to another size on the way, as to a network's."""
    ann, bob = some(6), some(9, seed=1)
    write_npz(tmp_path / "ann.npz", train=ann, test=some(3, seed=2))
    write_npz(tmp_path / "bob.npz", train=bob, test=some(4, seed=3))
    source = DomainSource(name="voices", folder=tmp_path, by_holder=True)
    domain = load_domain(source, root=None, cache=tmp_path, image=(3, 8))
    assert domain.train.images.shape == (15, 3, 8, 8)
    assert domain.train.holders.tolist() == [0] * 6 + [1] * 9
    assert len(domain.test) == 7


def test_without_a_test_part_each_holder_keeps_a_fifth_for_testing(tmp_path):
    write_npz(tmp_path / "ann.npz", train=some(15))
    write_npz(tmp_path / "bob.npz", train=some(30, seed=1))
    found = read_holders(tmp_path, ANY)
    assert found.train.holders.bincount().tolist() == [12, 24]
    assert len(found.test) == 9
    (note,) = found.notes
    assert "no test part; a fifth of every label, 9 of 45 images" in note


def test_what_cannot_be_one_domain_is_refused_by_its_name(tmp_path):
    for name, other in {
        "shape": lambda place: write_npz(place, train=some(6, size=7)),
        "test": lambda place: write_npz(place, train=some(6), test=some(3)),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        write_npz(folder / "ann.npz", train=some(6))
        other(folder / "bob.npz")
    with pytest.raises(DataError, match=r"shape: .*\(1, 6, 6\), \(1, 7, 7\).*domain of its own"):
        read_holders(tmp_path / "shape", ANY)
    with pytest.raises(DataError, match=r"ann\.npz: no test part"):
        read_holders(tmp_path / "test", ANY, split_test=False)
    write_pictures(tmp_path / "names" / "ann", some(6), names=("a", "b", "c"))
    write_pictures(tmp_path / "names" / "bob", some(6), names=("0", "1", "2"))
    with pytest.raises(DataError, match="some of its parts have names of classes, others only numbers"):
        read_holders(tmp_path / "names", ANY)


def test_a_holder_may_lack_classes_which_are_counted_over_all(tmp_path):
    """By name: ann has a, b and c, bob a, c and d. By number: ann lacks 0 and 2, bob has all."""
    ann, bob = some(6), some(6, seed=1)
    write_pictures(tmp_path / "names" / "ann", ann, names=("a", "b", "c"))
    write_pictures(tmp_path / "names" / "bob", bob, names=("a", "c", "d"))
    found = read_holders(tmp_path / "names", ANY, split_test=False)
    assert (found.class_names, classes_of_holders(tmp_path / "names", ANY)) == (("a", "b", "c", "d"), 4)
    bobs = found.train.subset(torch.nonzero(found.train.holders == 1)[:, 0])
    assert same(bobs, replace(bob, labels=torch.tensor([0, 2, 3])[bob.labels]))
    with pytest.raises(DataError, match=r"4 classes \(a, b, c, d\), but there are 5"):
        read_holders(tmp_path / "names", Wanted(classes=5))

    (tmp_path / "numbers").mkdir()
    write_npz(tmp_path / "numbers" / "ann.npz", train=replace(ann, labels=torch.ones_like(ann.labels)))
    write_npz(tmp_path / "numbers" / "bob.npz", train=bob)
    assert read_holders(tmp_path / "numbers", ANY, split_test=False).train.labels[:7].tolist() == [1] * 6 + [
        0
    ]
    (tmp_path / "numbers" / "bob.npz").unlink()
    with pytest.raises(DataError, match="labels begin at 1"):
        read_holders(tmp_path / "numbers", ANY)


def test_classes_that_any_holder_says_are_counted(tmp_path):
    """Ann's labels are whole numbers, bob's one-hot for five classes, of which three have images."""
    data = some(6)
    write_npz(tmp_path / "ann.npz", train=data)
    np.savez(
        tmp_path / "bob.npz", train_images=data.images[:, 0].numpy(), train_labels=np.eye(5)[data.labels]
    )
    assert read_holders(tmp_path, ANY, split_test=False).classes == classes_of_holders(tmp_path, ANY) == 5


def test_many_notes_are_counted(tmp_path):
    """Each holder's says that one or two images join, which is a word more or less."""
    for holders in range(1, 6):
        parts = {"train": some(6), "test": some(3, seed=1), "val": some(1 + holders % 2, seed=2)}
        write_npz(tmp_path / f"{holders}.npz", **parts)
        notes = read_holders(tmp_path, ANY).notes
        assert len(notes) == min(holders, 4)
    assert notes[0].endswith("1.npz: the 2 images of val_images join the training images")
    assert notes[1].endswith("2.npz: the 1 image of val_images joins the training images")
    assert notes[3] == "and 2 notes like these"
    (tmp_path / "5.npz").unlink()
    assert read_holders(tmp_path, ANY).notes[3] == "and 1 note like these"


def test_a_holder_with_too_few_images_to_test_with_keeps_them_and_trains_in_small_batches(tmp_path):
    write_npz(tmp_path / "ann.npz", train=some(15))
    write_npz(tmp_path / "one.npz", train=some(1, seed=1))
    found = read_holders(tmp_path, ANY)
    assert (found.train.holders.bincount().tolist(), len(found.test)) == ([12, 1], 3)
    assert ShuffledPasses(1, 64, torch.Generator()).next().tolist() == [0, 0]
    write_npz(tmp_path / "ann.npz", train=some(3))
    with pytest.raises(DataError, match="no holder has two images of a label"):
        read_holders(tmp_path, ANY)


def test_a_folder_is_wanted_and_something_in_it(tmp_path):
    write_npz(tmp_path / "ann.npz", train=some(6))
    with pytest.raises(DataError, match="by_holder is true"):
        parts_of(tmp_path / "ann.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing in it"):
        parts_of(tmp_path / "empty")


def test_the_usual_shape_is_that_of_all_holders(tmp_path):
    """The first is grey, and smaller than most."""
    for number, (channels, size) in enumerate([(1, 6), (1, 8), (3, 8)]):
        write_pictures(tmp_path / str(number), some(6, channels=channels, size=size))
    assert shape_of_holders(tmp_path) == (3, 8, 8)
    found = read_holders(tmp_path, Wanted(image=ImageForm(3, 4)))
    assert found.shape == (3, 8, 8)
    assert found.train.images.shape[1:] == (3, 4, 4)


def test_which_columns_are_meant_is_told_to_every_holder(tmp_path):
    """Each has two columns of labels; that nobody says which is meant ends all."""
    datasets = pytest.importorskip("datasets")
    both = huggingface(some(12)).add_column("fine", some(12).labels.tolist())
    both = both.cast_column("fine", datasets.ClassLabel(names=["x", "y", "z"]))
    for name in ("ann", "bob"):
        write_huggingface(tmp_path / name, train=both)
    said = Wanted(label_column="fine")
    assert shape_of_holders(tmp_path, said) == (1, 6, 6)
    assert read_holders(tmp_path, said).class_names == ("x", "y", "z")
    with pytest.raises(DataError, match="label_column"):
        shape_of_holders(tmp_path)
