import pytest
import torch

from huscf_flwr.run.client_files import (
    KeptMoments,
    MomentsError,
    check_moments,
    load_moments,
    moments_file,
    owners_folder,
    save_moments,
)
from huscf_flwr.split import Segments
from tests.run.builders import SAMPLES, coordinator_of, small_run, train_round


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("trained")
    coordinator = coordinator_of(small_run(place, place, clients=len(SAMPLES), **{"model.width": 0.03}))
    train_round(coordinator)
    return coordinator


@pytest.fixture
def segments(trained):
    return trained.executor.segments


@pytest.fixture
def untrained(trained, segments):
    return Segments(trained.spec, list(segments.states()), seed=9)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def save_rounds(segments, folder, client, rounds, keep_last, before=None):
    """Save after each round, and return what the server, which took them all, remembers of the last one."""
    for number in rounds:
        before = save_moments(segments, folder, client, number, before=before, keep_last=keep_last)
    return before


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_clients_moments_come_back(segments, untrained, tmp_path):
    kept = save_moments(segments, tmp_path, 7, 1, before=None, keep_last=1)
    check_moments(tmp_path, 7, kept)
    load_moments(untrained, tmp_path, 7, kept)
    assert untrained.moments().keys() == segments.moments().keys() != set()
    assert all(torch.equal(untrained.moments()[name], value) for name, value in segments.moments().items())


def test_a_client_that_has_kept_nothing_begins_without(segments, untrained, tmp_path):
    save_moments(segments, tmp_path, 7, 1, before=None, keep_last=1)
    load_moments(untrained, tmp_path, 7, None)
    assert untrained.moments() == {}


@pytest.mark.parametrize("keep_last", [1, 3])
def test_one_round_more_is_kept_than_checkpoints(segments, tmp_path, keep_last):
    """If the server does not finish the last round, training goes on from those of the one before."""
    for client in (7, 71):
        save_rounds(segments, tmp_path, client, range(1, 6), keep_last)
    kept = [
        moments_file(tmp_path, client, number).name
        for client in (7, 71)
        for number in range(5 - keep_last, 6)
    ]
    assert names(tmp_path) == kept


def test_a_client_that_missed_rounds_keeps_its_last_ones(segments, tmp_path):
    save_rounds(segments, tmp_path, 7, (1, 2, 9), keep_last=1)
    assert names(tmp_path) == [moments_file(tmp_path, 7, number).name for number in (2, 9)]


@pytest.mark.parametrize("taken_rounds", [(), (1, 2)])
def test_files_that_the_server_never_took_give_way_and_the_one_it_took_stays(
    segments, tmp_path, taken_rounds
):
    taken = save_rounds(segments, tmp_path, 7, taken_rounds, keep_last=1)
    for number in (3, 4, 5):
        save_moments(segments, tmp_path, 7, number, before=taken, keep_last=1)
    assert names(tmp_path) == [moments_file(tmp_path, 7, number).name for number in (*taken_rounds[-1:], 5)]


def test_a_round_that_is_trained_anew_leaves_nothing_of_later_ones(segments, tmp_path):
    first = save_rounds(segments, tmp_path, 7, (1,), keep_last=3)
    save_rounds(segments, tmp_path, 7, (2, 3), keep_last=3, before=first)
    save_moments(segments, tmp_path, 7, 2, before=first, keep_last=3)
    assert names(tmp_path) == [moments_file(tmp_path, 7, number).name for number in (1, 2)]


def test_what_a_crash_left_half_written_is_removed(segments, tmp_path):
    left = tmp_path / ".client-7-round-0001.safetensors.4711"
    others = tmp_path / ".client-71-round-0001.safetensors.4711"
    for path in (left, others):
        path.write_bytes(b"half")
    save_moments(segments, tmp_path, 7, 1, before=None, keep_last=1)
    assert names(tmp_path) == [others.name, moments_file(tmp_path, 7, 1).name]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (flip_a_byte, "its checksum differs"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "its checksum differs"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_moments_that_are_not_those_that_were_kept_are_refused(
    segments, untrained, tmp_path, change, problem
):
    kept = save_moments(segments, tmp_path, 7, 1, before=None, keep_last=1)
    change(moments_file(tmp_path, 7, 1))
    refusal = f"does not have the moments that client 7 kept after round 1: client-7-round-0001.* {problem}"
    with pytest.raises(MomentsError, match=refusal):
        check_moments(tmp_path, 7, kept)
    with pytest.raises(MomentsError, match=refusal):
        load_moments(untrained, tmp_path, 7, kept)
    assert untrained.moments() == {}


def test_moments_of_another_client_or_round_are_refused(segments, untrained, tmp_path):
    kept = save_moments(segments, tmp_path, 7, 1, before=None, keep_last=1)
    with pytest.raises(MomentsError, match=r"client 8 kept after round 1: client-8-round-0001.* is missing"):
        load_moments(untrained, tmp_path, 8, kept)
    with pytest.raises(MomentsError, match=r"client 7 kept after round 2: client-7-round-0002.* is missing"):
        load_moments(untrained, tmp_path, 7, KeptMoments(2, kept.sha256))


def test_a_training_has_a_folder_of_its_own_on_a_device(tmp_path):
    assert owners_folder(tmp_path, "ab" * 16) == tmp_path / ("ab" * 16)


@pytest.mark.parametrize("name", ["..", "../x", "", "AB" * 16, "ab" * 15, "ab" * 16 + "\n", "/" + "a" * 31])
def test_a_name_from_the_network_leads_nowhere_else(tmp_path, name):
    with pytest.raises(ValueError, match="is not the name of a training"):
        owners_folder(tmp_path, name)
