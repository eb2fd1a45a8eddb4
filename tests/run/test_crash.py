"""The process dies, and the run is resumed as if nothing had happened.

It dies between any two changes of the disk, or is killed in the middle of a round.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.config import dump_config
from huscf_flwr.methods.fedvtc.decoder_training import DecoderTraining
from huscf_flwr.run import run_folder
from huscf_flwr.run.checkpoint import client_folder, last_round
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run import RoundFailedError
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.run.run_log import LOG_NAME
from tests.run.builders import METHODS as ALL
from tests.run.builders import UNJUDGED, SilentDisplay, assert_same_run, kept_files, repeatable, small_run
from tests.run.mid_round import MIDDLE

pytestmark = pytest.mark.slow

METHODS = ("huscf", "fedgan")
ROOT = Path(__file__).parents[2]
TINY = {
    "clients": 2,
    "batch_size": 30,
    "model.width": 0.03,
    "huscf.clusters": 1,
    "huscf.running_statistics": "averaged",
    "evaluation.images": 2,
    **UNJUDGED,
}


class Death(BaseException):
    """Nothing of ours catches it."""


class Disk:
    """Counts the calls that change the disk for good; the process dies before one of them.

    A dead process changes nothing any more: every later call, such as one that would tidy up, dies too.
    """

    CALLS = ("fsync", "replace", "rename", "unlink", "mkdir")

    def __init__(self, monkeypatch, dies_at=None):
        self.calls = 0
        self._dies_at = dies_at
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call):
        def counted(*arguments, **named):
            self.calls += 1
            if self._dies_at is not None and self.calls >= self._dies_at:
                raise Death
            return call(*arguments, **named)

        return counted


def tiny_run(images, place, rounds, **settings):
    return small_run(images, place, rounds=rounds, **{**TINY, **settings})


def train(config):
    """Unjudged: a judge writes nothing that a run goes on from."""
    train_locally(config, display=SilentDisplay(), judged=False)


@pytest.fixture(scope="module")
def plain_pages():
    """Pictures and reports as files whose drawing takes no time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_folder, "sample_grid", lambda path, *_: write_atomically(path, b"grid"))
        patched.setattr(run_folder, "write_report", lambda path: write_atomically(path / "report", b"page"))
        yield


@pytest.fixture(scope="module", params=METHODS)
def runs(request, images, plain_pages, tmp_path_factory):
    """A run of two rounds, one of three, how often the round between changes the disk, and the method."""
    place, method = tmp_path_factory.mktemp("runs"), request.param
    train(tiny_run(images, place, 2, name="two", method=method))
    shutil.copytree(place / "two", place / "three")
    with pytest.MonkeyPatch.context() as patched:
        disk = Disk(patched)
        train(tiny_run(images, place, 3, name="three", method=method, resume=place / "three"))
    return place, disk.calls, method


def left_on_disk(folder, before):
    """The files of a run, how long they are, and which are others than in the folder that it was copied from.

    Its log is left out, since a run that goes on only adds to it.
    """

    def described(path):
        name, now = path.relative_to(folder), path.stat()
        then = (before / name).stat() if (before / name).exists() else None
        return str(name), now.st_size, then is None or now.st_mtime_ns != then.st_mtime_ns

    found = (path for path in folder.rglob("*") if path.is_file() and path.name != LOG_NAME)
    return frozenset(map(described, found))


def assert_equal_runs(found, expected):
    assert_same_run(found, expected)
    assert repeatable(read_metrics(found)) == repeatable(read_metrics(expected))
    for folder in ("checkpoint", "samples", "generators"):
        names = [
            sorted(str(p.relative_to(run)) for p in (run / folder).rglob("*")) for run in (found, expected)
        ]
        assert names[0] == names[1]


def test_wherever_the_process_dies_the_run_is_resumed_to_the_bit(images, runs, tmp_path):
    """Of two deaths that leave the same, one is resumed: a call may change only what outlives the machine."""
    place, calls, method = runs
    assert calls > 40
    rounds, resumed = set(), set()
    for dies_at in range(1, calls + 1):
        folder = tmp_path / "dies"
        shutil.copytree(place / "two", folder)
        config = tiny_run(images, tmp_path, 3, name=folder.name, method=method, resume=folder)
        with pytest.MonkeyPatch.context() as patched:
            Disk(patched, dies_at)
            with pytest.raises((Death, RoundFailedError)):
                train(config)
        rounds.add(last_round(folder))
        left = left_on_disk(folder, place / "two")
        if left not in resumed:
            resumed.add(left)
            torch.manual_seed(dies_at)
            train(config)
            assert_equal_runs(folder, place / "three")
        shutil.rmtree(folder)
    assert rounds == {2, 3}
    assert len(resumed) > 20


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_killed_in_the_middle_of_a_round_is_resumed_to_the_bit(images, tmp_path, method):
    """Clients that train by themselves die between two batches of one, after another has finished."""
    settings = {"method": method, "batch_size": 4, "evaluation.images": 2, **UNJUDGED}
    killed = small_run(images, tmp_path, name="killed", rounds=3, **settings)
    (tmp_path / "killed.yaml").write_text(dump_config(killed))
    command = [sys.executable, "-m", "tests.run.mid_round", str(tmp_path / "killed.yaml")]
    ended = subprocess.run([*command, *map(str, (2, 1, MIDDLE[method]))], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert last_round(killed.folder) == 1
    assert [line["round"] for line in read_metrics(killed.folder)] == [1]
    of_round_2 = [name for name in kept_files(client_folder(killed.folder)) if name.endswith("-round-0002")]
    assert of_round_2 == {"huscf": [], "fedgan": ["client-0-round-0002"]}[method]

    rest = small_run(images, tmp_path, name="killed", rounds=3, resume=killed.folder, **settings)
    whole = small_run(images, tmp_path, name="whole", rounds=3, **settings)
    for config in (rest, whole):
        train(config)
    assert_equal_runs(rest.folder, whole.folder)


@pytest.mark.parametrize("share", [True, False], ids=["shared decoder", "own decoders"])
def test_fedvtc_that_dies_while_a_client_trains_its_decoder_is_resumed_to_the_bit(
    images, tmp_path, monkeypatch, share
):
    """Client 0 has finished the round by then, and kept what it must not go on from."""
    settings = {**ALL["fedvtc"], **UNJUDGED, "fedvtc.share_decoder": share}
    settings |= {"fedvtc.latents": "recentred", "fedvtc.spread": "learned"}
    killed = small_run(images, tmp_path, name="killed", rounds=3, **settings)
    step, of_client_1 = DecoderTraining._step, []

    def dying(training, *arguments):
        if "client-0-round-0002" in kept_files(client_folder(killed.folder)):
            of_client_1.append(training)
            if len(of_client_1) == 2:
                raise Death
        return step(training, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(DecoderTraining, "_step", dying)
        with pytest.raises((Death, RoundFailedError)):
            train(killed)
    assert len(of_client_1) == 2
    assert last_round(killed.folder) == 1
    rest = small_run(images, tmp_path, name="killed", rounds=3, resume=killed.folder, **settings)
    whole = small_run(images, tmp_path, name="whole", rounds=3, **settings)
    for config in (rest, whole):
        train(config)
    assert_equal_runs(rest.folder, whole.folder)
