import errno
import json
import os

import pytest
import torch

from huscf_flwr.atomic_file import append_durably, write_atomically
from huscf_flwr.tensor_files import (
    DamagedFileError,
    read_exactly,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)


def fail(*arguments):
    raise OSError("no space left on device")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "new" / "a.json"
    write_atomically(path, b"old")
    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"new content")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


WRITERS = [lambda path: write_atomically(path, b"a"), lambda path: append_durably(path, "a")]


@pytest.mark.parametrize("write", WRITERS)
def test_what_could_not_be_written_is_named(tmp_path, monkeypatch, write):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device; it cannot be written: '{tmp_path / 'a'}'"):
        write(tmp_path / "a")


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda content: content[:5], lambda _: b""])
def test_a_damaged_file_is_named(tmp_path, damage):
    for write, read, name in (
        (lambda path: write_tensors(path, {"a": torch.ones(3)}), read_tensors, "a.safetensors"),
        (lambda path: write_json(path, {"a": 1}), read_json, "a.json"),
    ):
        path = tmp_path / name
        with pytest.raises(DamagedFileError, match=f"{path} is missing"):
            read(path)
        write(path)
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(DamagedFileError, match=f"^{path} is damaged and cannot be read: "):
            read(path)


def test_a_write_replaces_the_old_content(tmp_path):
    for content in (b"a long old content", b"new"):
        write_atomically(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_json_is_indented_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1, None]}
    assert text.endswith("}\n")


def test_tensors_of_any_layout_survive_a_round_trip(tmp_path):
    stream = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 4, 5, generator=stream)
    tensors = {
        "as it is": image,
        "channels last": image.contiguous(memory_format=torch.channels_last),
        "a view": image[0].transpose(0, 2),
        "the same again": image,
        "half": image.to(torch.bfloat16),
        "double": image.double().requires_grad_(),
        "count": torch.tensor(3),
    }
    write_tensors(tmp_path / "a.safetensors", tensors)
    found = read_tensors(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach()), name


def test_a_file_without_tensors_can_be_read(tmp_path):
    sha256 = write_tensors(tmp_path / "a.safetensors", {})
    assert read_tensors(tmp_path / "a.safetensors") == read_exactly(tmp_path / "a.safetensors", sha256) == {}
