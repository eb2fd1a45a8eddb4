"""`huscf data` of places that have no images of some classes, or do not say what these are called."""

import re

import pytest

from huscf_flwr.data import LabelledImages
from tests.commands.animals import TEST, TRAIN
from tests.commands.invoking import invoke, refused, succeeded
from tests.data.formats.writing import write_npz


def test_classes_without_images_can_be_said_by_number_or_name(tmp_path):
    """Of five, the first and the last have none."""
    train, test = (LabelledImages(data.images, data.labels + 1) for data in (TRAIN, TEST))
    place = write_npz(tmp_path / "a.npz", train=train, test=test)
    error = refused(invoke("data", "check", place))
    assert "set classes: 4 or more (huscf data: --classes 4)" in error
    for said in (("--classes", 5), ("--class-names", "ant, bee,cow,dog,elk")):
        shown = succeeded(invoke("data", "check", place, *said))
        names = ["0", "1", "2", "3", "4"] if said[0] == "--classes" else ["ant", "bee", "cow", "dog", "elk"]
        assert f"classes without images: {names[0]}, {names[4]};" in shown
        counts = [line.split()[-4] for line in shown.splitlines() if line.startswith("│")]
        assert counts == ["0", "10", "10", "10", "0"]
    succeeded(
        invoke("data", "convert", place, tmp_path / "x", "--to", "pictures", "--class-names", "a,b,c,d")
    )
    assert sorted(path.name for path in (tmp_path / "x" / "train").iterdir()) == ["a", "b", "c", "d"]
    said = succeeded(invoke("data", "convert", place, tmp_path / "x.npz", "--classes", 5))
    assert "that there are 5 classes is not kept" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--class-names", "a,b,b,c"), "has a name twice"),
        (("--class-names", "a,b,,c"), "or an empty one"),
        (("--class-names", "a,b,c", "--classes", 4), "3 class_names but classes: 4"),
        (("--classes", 2), r"labels must be in 0\.\.1"),
        (("--class-names", "a,b"), r"labels must be in 0\.\.1"),
    ],
)
def test_classes_that_cannot_be_are_refused(options, said, tmp_path):
    assert re.search(
        said, refused(invoke("data", "check", write_npz(tmp_path / "a.npz", train=TRAIN), *options))
    )


def test_folders_are_matched_with_names_that_are_said(animals):
    shown = succeeded(invoke("data", "check", animals, "--class-names", "cow,bee,ant,dog"))
    assert [line.split()[1:4:2] for line in shown.splitlines() if "dog" in line or "cow" in line][:2] == [
        ["0", "cow"],
        ["3", "dog"],
    ]
    refusal = refused(invoke("data", "check", animals, "--class-names", "cow,bee"))
    assert "'ant' is none of the class names" in refusal
    assert "--class-names" in refusal
