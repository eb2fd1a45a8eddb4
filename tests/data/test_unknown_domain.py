"""What is said of a domain that nobody knows."""

import pytest

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
