"""Where something is to be written it is known before whether it can be, and nothing is left by asking."""

import os

import pytest

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.existing import (
    UnusableFolderError,
    check_file,
    check_folder,
    check_folders_place,
    check_outputs,
)

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
        check_file(tmp_path / folder / "x.png")
        check_folders_place(tmp_path / folder)
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
    (tmp_path / "empty").mkdir()
    check_outputs(files=[None, file, tmp_path / "new" / "b.png"], folders=[tmp_path / "empty"])
    file.touch()
    with pytest.raises(FileExistsError, match=r"a\.png is there already: .*--force"):
        check_outputs(files=[None, file])
    check_outputs(files=[file], replaces=True)
    with pytest.raises(UnusableFolderError) as told:
        check_outputs(files=[tmp_path / "b.png", file / "c.png"], replaces=True)
    assert (
        str(told.value) == f"{file / 'c.png'} cannot be written, since {file} is a file: choose another place"
    )


def unwritable(**given):
    with pytest.raises(UnusableFolderError) as told:
        check_outputs(**given)
    return str(told.value)


@pytest.mark.parametrize("replaces", [False, True])
def test_a_folder_is_in_the_way_of_a_file_and_a_file_in_the_way_of_a_folder(tmp_path, replaces):
    file, folder, link = tmp_path / "file", tmp_path / "folder", tmp_path / "link"
    file.touch()
    folder.mkdir()
    link.symlink_to(tmp_path / "gone")
    told = unwritable(files=[folder], replaces=replaces)
    assert told == f"{folder} cannot be written, since it is a folder: choose another place"
    (folder / "x").touch()
    assert unwritable(files=[folder], replaces=replaces) == told
    assert unwritable(folders=[file], replaces=replaces) == (
        f"{file} cannot be written, since it is a file: choose another place"
    )
    assert "since it is a link to nothing" in unwritable(folders=[link], replaces=replaces)
    check_outputs(files=[link], replaces=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "link", "x"]


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_a_name_that_is_too_long_is_refused_where_it_or_its_temporary_one_could_not_be_made(tmp_path, kind):
    for letters in (246, 300):
        place = tmp_path / ("n" * letters)
        assert unwritable(**{kind: [place]}) == (
            f"{place} cannot be written, since the system refuses its name (File name too long): "
            "choose another place"
        )
    longest = tmp_path / ("n" * 240)
    check_outputs(**{kind: [longest]})
    write_atomically(longest, b"")


def test_the_first_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    first, second, third = tmp_path / "file" / "a", tmp_path / "b", tmp_path / "file" / "c"
    assert unwritable(files=[second, first, third]).startswith(f"{first} ")
    assert unwritable(files=[second, third, first]).startswith(f"{third} ")
