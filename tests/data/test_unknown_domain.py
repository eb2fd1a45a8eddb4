"""What is said of a domain that nobody knows."""

import pytest

from huscf_flwr.data.below_root import place_below
from huscf_flwr.data.unknown_domain import unknown_domain


@pytest.fixture
def root(tmp_path):
    for name in ("photos", "PACS/cartoon", "PACS/sketch"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "shapes.npz").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("photo", "photos"),
        ("Shape", "shapes"),
        ("pacs-sketches", "PACS-sketch"),
        ("minst", "mnist"),
        ("digits-invertd", "digits-inverted"),
        ("photos-rotatd", "photos-rotated"),
    ],
)
def test_the_nearest_of_built_in_domains_folders_and_files_is_suggested(root, said, meant):
    assert f"unknown domain '{said}' (did you mean '{meant}'?)" in str(unknown_domain(said, root))


def test_it_lists_what_there_is_and_stays_readable(root):
    for number in range(40):
        (root / f"set-{number:02}").mkdir()
    said = str(unknown_domain("xyz", root))
    assert f"below {root}: PACS, photos, set-00, set-01, set-02 and 38 more" in said
    assert "did you mean" not in said
    assert len(said.replace(str(root), "")) < 350


def test_without_a_root_nothing_is_said_of_one():
    assert "below" not in str(unknown_domain("xyz", None))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("shapes.npz", "shapes"),
        ("Shapes.NPZ", "Shapes"),
        ("pacs-dog.csv.gz", "pacs-dog"),
    ],
)
def test_a_file_that_is_there_is_a_domain_of_its_name_without_the_suffix(root, said, meant):
    (root / "PACS" / "dog.csv.gz").touch()
    assert str(unknown_domain(said, root)).endswith(f"lies a file of that name; name it '{meant}'")
    assert place_below(root, meant).is_file()


@pytest.mark.parametrize("said", ["notes.txt", "other.npz", "shapes.csv", "photos.npz", ".npz", "photos"])
def test_nothing_is_said_of_files_that_are_not_there_or_no_images(root, said):
    assert "name it" not in str(unknown_domain(said, root))
