import pytest
import torch

from huscf_flwr.methods.contract import Kept
from huscf_flwr.run.client_files import (
    ClientFileError,
    check_private,
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


def save_rounds(private, folder, client, rounds, keep_last, before=None):
    """Save after each round, and return what the server, which took them all, remembers of the last one."""
    for number in rounds:
        before = save_private(private, folder, client, number, before=before, keep_last=keep_last)
    return before


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_client_keeps_comes_back(private, tmp_path):
    kept = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    check_private(tmp_path, 7, kept)
    assert_same_to_the_bit(load_private(tmp_path, 7, kept), private)


@pytest.mark.parametrize("keep_last", [1, 3])
def test_one_round_more_is_kept_than_checkpoints(private, tmp_path, keep_last):
    """If the server does not finish the last round, training goes on from those of the one before."""
    for client in (7, 71):
        save_rounds(private, tmp_path, client, range(1, 6), keep_last)
    kept = [
        private_file(tmp_path, client, number).name
        for client in (7, 71)
        for number in range(5 - keep_last, 6)
    ]
    assert names(tmp_path) == kept


def test_a_client_that_missed_rounds_keeps_its_last_ones(private, tmp_path):
    save_rounds(private, tmp_path, 7, (1, 2, 9), keep_last=1)
    assert names(tmp_path) == [private_file(tmp_path, 7, number).name for number in (2, 9)]


@pytest.mark.parametrize("taken_rounds", [(), (1, 2)])
def test_files_that_the_server_never_took_give_way_and_the_one_it_took_stays(private, tmp_path, taken_rounds):
    taken = save_rounds(private, tmp_path, 7, taken_rounds, keep_last=1)
    for number in (3, 4, 5):
        save_private(private, tmp_path, 7, number, before=taken, keep_last=1)
    assert names(tmp_path) == [private_file(tmp_path, 7, number).name for number in (*taken_rounds[-1:], 5)]


def test_who_writes_late_removes_nothing_of_later_rounds(private, tmp_path):
    """A host that was given up finishes round 2 when another has taken its client through round 3."""
    first = save_rounds(private, tmp_path, 7, (1,), keep_last=3)
    last = save_rounds(private, tmp_path, 7, (2, 3), keep_last=3, before=first)
    save_private(private, tmp_path, 7, 2, before=first, keep_last=3)
    check_private(tmp_path, 7, last)


def test_a_run_that_goes_on_from_an_earlier_round_removes_what_clients_kept_later(private, tmp_path):
    save_rounds(private, tmp_path, 7, (1, 2, 3), keep_last=3)
    save_rounds(private, tmp_path, 8, (2, 3), keep_last=3)
    remove_later_than(tmp_path, 2)
    expected = [private_file(tmp_path, 7, number).name for number in (1, 2)]
    assert names(tmp_path) == [*expected, private_file(tmp_path, 8, 2).name]


def test_what_a_crash_left_half_written_is_removed(private, tmp_path):
    left = tmp_path / ".client-7-round-0001.safetensors.4711"
    others = tmp_path / ".client-71-round-0001.safetensors.4711"
    for path in (left, others):
        path.write_bytes(b"half")
    save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    assert names(tmp_path) == [others.name, private_file(tmp_path, 7, 1).name]


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
    change(private_file(tmp_path, 7, 1))
    refusal = f"does not have what client 7 kept after round 1: client-7-round-0001.* {problem}"
    with pytest.raises(ClientFileError, match=refusal):
        check_private(tmp_path, 7, kept)
    with pytest.raises(ClientFileError, match=refusal):
        load_private(tmp_path, 7, kept)


def test_a_file_of_another_client_or_round_is_refused(private, tmp_path):
    kept = save_private(private, tmp_path, 7, 1, before=None, keep_last=1)
    with pytest.raises(ClientFileError, match=r"client 8 kept after round 1: client-8-.* is missing"):
        load_private(tmp_path, 8, kept)
    with pytest.raises(ClientFileError, match=r"client 7 kept after round 2: client-7-.* is missing"):
        load_private(tmp_path, 7, Kept(2, kept.sha256))


def test_a_training_has_a_folder_of_its_own_on_a_device(tmp_path):
    assert owners_folder(tmp_path, "ab" * 16) == tmp_path / ("ab" * 16)


@pytest.mark.parametrize("name", ["..", "../x", "", "AB" * 16, "ab" * 15, "ab" * 16 + "\n", "/" + "a" * 31])
def test_a_name_from_the_network_leads_nowhere_else(tmp_path, name):
    with pytest.raises(ValueError, match="is not the name of a training"):
        owners_folder(tmp_path, name)
