import os
import re
from pathlib import Path

import pytest
import torch

from huscf_flwr.methods.contract import Kept
from huscf_flwr.run.client_files import (
    ClientFileError,
    check_private,
    copy_private,
    load_private,
    owners_folder,
    private_file,
    remove_later_than,
    save_private,
)
from tests.run.builders import assert_same_to_the_bit


@pytest.fixture
def private():
    """What a client keeps: numbers of two types, and a scalar."""
    stream = torch.Generator().manual_seed(0)
    return {
        "main.weight.exp_avg": torch.randn(3, 4, generator=stream),
        "main.weight.step": torch.tensor(7.0, dtype=torch.float64),
    }


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def other(private):
    """What the client would have kept if it had trained in another way."""
    return {name: tensor + 1 for name, tensor in private.items()}


def save_rounds(private, folder, client, rounds, keep_last, before=None):
    """Save after each round, and return what the server, which took them all, remembers of the last one."""
    for number in rounds:
        before = save_private(private, folder, client, number, before=before, keep_last=keep_last)
    return before


def rounds_kept(folder, client):
    """The rounds of a client's files, each of which is named as it should be."""
    own = folder / f"client-{client}"
    names = sorted(path.name for path in own.iterdir())
    assert all(re.fullmatch(r"round-\d{4}-[0-9a-f]{16}\.safetensors", name) for name in names)
    return [int(name.split("-")[1]) for name in names]


def test_what_a_client_keeps_comes_back(private, tmp_path):
    kept = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    check_private(tmp_path, 7, kept)
    assert_same_to_the_bit(load_private(tmp_path, 7, kept), private)


@pytest.mark.parametrize("keep_last", [1, 3])
def test_one_round_more_is_kept_than_checkpoints(private, tmp_path, keep_last):
    """If the server does not finish the last round, training goes on from those of the one before."""
    for client in (7, 71):
        save_rounds(private, tmp_path, client, range(1, 6), keep_last)
    for client in (7, 71):
        assert rounds_kept(tmp_path, client) == [*range(5 - keep_last, 6)]


def test_a_client_that_missed_rounds_keeps_its_last_ones(private, tmp_path):
    save_rounds(private, tmp_path, 7, (1, 2, 9), keep_last=1)
    assert rounds_kept(tmp_path, 7) == [2, 9]


@pytest.mark.parametrize("taken_rounds", [(), (1, 2)])
def test_files_that_the_server_never_took_give_way_and_the_one_it_took_stays(private, tmp_path, taken_rounds):
    taken = save_rounds(private, tmp_path, 7, taken_rounds, keep_last=1)
    for number in (3, 4, 5):
        save_private(private, tmp_path, 7, number, before=taken, keep_last=1)
    assert rounds_kept(tmp_path, 7) == [*taken_rounds[-1:], 5]


def test_who_writes_late_removes_nothing_of_later_rounds(private, tmp_path):
    """A host that was given up finishes round 2 when another has taken its client through round 3."""
    first = save_rounds(private, tmp_path, 7, (1,), keep_last=3)
    last = save_rounds(private, tmp_path, 7, (2, 3), keep_last=3, before=first)
    save_private(private, tmp_path, 7, 2, before=first, keep_last=3)
    check_private(tmp_path, 7, last)


@pytest.mark.parametrize("late_first", [False, True])
def test_two_attempts_at_a_round_do_not_touch_each_other(private, tmp_path, late_first):
    """The handler of the first, given up, may write before or after the one whose reply is taken."""
    first = save_rounds(private, tmp_path, 7, (1,), keep_last=1)
    attempts = [other(private), private] if late_first else [private, other(private)]
    kept = [save_private(each, tmp_path, 7, 2, before=first, keep_last=1) for each in attempts]
    for found, expected in zip(kept, attempts, strict=True):
        assert_same_to_the_bit(load_private(tmp_path, 7, found), expected)
    taken = kept[late_first]
    last = save_private(private, tmp_path, 7, 3, before=taken, keep_last=1)
    assert rounds_kept(tmp_path, 7) == [2, 3]
    check_private(tmp_path, 7, taken)
    check_private(tmp_path, 7, last)


def test_the_same_round_trained_again_is_the_same_file(private, tmp_path):
    kept = [save_private(private, tmp_path, 7, 1, before=None, keep_last=1) for _ in range(2)]
    assert kept[0] == kept[1]
    assert rounds_kept(tmp_path, 7) == [1]


def test_a_client_does_not_look_at_the_files_of_others(private, tmp_path, monkeypatch):
    """However many they are: a round would take longer with every client."""
    listed = []
    iterdir, scandir = Path.iterdir, os.scandir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or scandir(path))
    save_rounds(private, tmp_path, 7, (1, 2, 3), keep_last=1)
    assert set(listed) == {tmp_path / "client-7"}


def test_another_run_takes_over_what_a_client_has_kept(private, tmp_path):
    kept = save_private(private, tmp_path / "old", 7, 1, before=None, keep_last=1)
    copy_private(tmp_path / "old", tmp_path / "new", 7, kept)
    assert_same_to_the_bit(load_private(tmp_path / "new", 7, kept), private)
    copy_private(tmp_path / "old", tmp_path / "new", 8, kept)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["client-7"]


def test_a_run_that_goes_on_from_an_earlier_round_removes_what_clients_kept_later(private, tmp_path):
    save_rounds(private, tmp_path, 7, (1, 2, 3), keep_last=3)
    save_rounds(private, tmp_path, 8, (2, 3), keep_last=3)
    remove_later_than(tmp_path, 2)
    assert [rounds_kept(tmp_path, client) for client in (7, 8)] == [[1, 2], [2]]


def test_what_a_crash_left_half_written_is_removed_once_a_later_round_is_taken(private, tmp_path):
    left, others = (
        private_file(tmp_path, client, Kept(1, "ab" * 32)).with_name(".round-0001-ab.safetensors.4711")
        for client in (7, 71)
    )
    for path in (left, others):
        path.parent.mkdir()
        path.write_bytes(b"half")
        os.utime(path, ns=(0, 0))
    first = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    assert left.is_file()
    save_private(private, tmp_path, 7, 2, before=first, keep_last=1)
    assert rounds_kept(tmp_path, 7) == [1, 2]
    assert others.is_file()


def test_what_another_attempt_is_writing_stays(private, tmp_path):
    first = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    now = private_file(tmp_path, 7, first)
    written = now.with_name(".round-0002-ab.safetensors.4711")
    written.write_bytes(b"half")
    os.utime(written, ns=(2 * now.stat().st_mtime_ns,) * 2)
    save_private(private, tmp_path, 7, 2, before=first, keep_last=1)
    assert written.is_file()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (flip_a_byte, "its checksum differs"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "its checksum differs"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_file_that_is_not_the_one_that_was_kept_is_refused(private, tmp_path, change, problem):
    kept = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    change(private_file(tmp_path, 7, kept))
    refusal = f"does not have what client 7 kept after round 1: round-0001-.* {problem}"
    with pytest.raises(ClientFileError, match=refusal):
        check_private(tmp_path, 7, kept)
    with pytest.raises(ClientFileError, match=refusal):
        load_private(tmp_path, 7, kept)


def test_a_file_of_another_client_or_round_is_refused(private, tmp_path):
    kept = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    with pytest.raises(ClientFileError, match=r"client 8 kept after round 1: round-0001-.* is missing"):
        load_private(tmp_path, 8, kept)
    with pytest.raises(ClientFileError, match=r"client 7 kept after round 2: round-0002-.* is missing"):
        load_private(tmp_path, 7, Kept(2, kept.sha256))


@pytest.mark.parametrize("sha256", ["../../x", "", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "/" + "a" * 63])
def test_a_checksum_from_the_network_leads_nowhere_else(private, tmp_path, sha256):
    for use in (load_private, check_private):
        with pytest.raises(ValueError, match="is not a SHA-256: 64 hexadecimal digits") as raised:
            use(tmp_path, 7, Kept(1, sha256))
        # Else a device would take it for a file that it has lost, and start anew.
        assert not isinstance(raised.value, ClientFileError)


def test_a_training_has_a_folder_of_its_own_on_a_device(tmp_path):
    assert owners_folder(tmp_path, "ab" * 16) == tmp_path / ("ab" * 16)


@pytest.mark.parametrize("name", ["..", "../x", "", "AB" * 16, "ab" * 15, "ab" * 16 + "\n", "/" + "a" * 31])
def test_a_name_from_the_network_leads_nowhere_else(tmp_path, name):
    with pytest.raises(ValueError, match="is not the name of a training"):
        owners_folder(tmp_path, name)
