"""Where something is to be written it is known before whether it can be, and nothing is left by asking."""

import os

import pytest

from huscf_flwr.existing import UnusableFolderError, check_folder, check_outputs, check_parent

SYSTEMS = "/proc/huscf"
"""Where nobody makes folders, root neither."""


def refusal(folder):
    with pytest.raises(UnusableFolderError) as told:
        check_folder(folder, "output", "take another")
    return str(told.value)


@pytest.mark.parametrize("name", ["there", "new", "new/deep/er", "there/../new", "link", "link/new", "."])
def test_a_folder_that_can_be_written_passes_and_is_left_as_it_was(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for folder in (tmp_path / name, os.path.relpath(tmp_path / name)):
        check_folder(tmp_path.__class__(folder), "output", "take another")
        check_parent(tmp_path / folder / "x.png")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "there"]


def test_a_file_and_what_lies_below_it_are_no_folders(tmp_path):
    file = tmp_path / "mine.yaml"
    file.touch()
    assert refusal(file) == f"output is {file}, but it is a file: take another"
    assert refusal(file / "a" / "b") == f"output is {file / 'a' / 'b'}, but {file} is a file: take another"


def test_a_link_to_nothing_and_one_to_itself_are_no_folders(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    assert refusal(link) == f"output is {link}, but it is a link to nothing: take another"
    link.unlink()
    link.symlink_to(link)
    assert refusal(link).startswith(f"output is {link}, but ")


@pytest.mark.parametrize("name", [SYSTEMS, f"{SYSTEMS}/deep", "n" * 300])
def test_what_the_system_refuses_is_told_with_its_reason(tmp_path, name):
    folder = tmp_path / name
    reason = "File name too long" if "n" * 300 in name else "No such file or directory"
    assert refusal(folder) == f"output is {folder}, but nothing can be written in it ({reason}): take another"


def test_outputs_are_refused_by_name_where_they_are_there_or_cannot_be(tmp_path):
    file = tmp_path / "a.png"
    check_outputs([None, file, tmp_path / "new" / "b.png"])
    file.touch()
    with pytest.raises(FileExistsError, match=r"a\.png is there already: .*--force"):
        check_outputs([None, file])
    check_outputs([file], replaces=True)
    with pytest.raises(UnusableFolderError) as told:
        check_outputs([tmp_path / "b.png", file / "c.png"], replaces=True)
    assert (
        str(told.value) == f"{file / 'c.png'} cannot be written, since {file} is a file: choose another place"
    )
