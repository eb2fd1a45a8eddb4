"""`huscf run`: what it writes, and what it says to input that cannot work, before any training."""

import gzip
import os
import shutil
import socket
import struct

import pytest

from huscf_flwr.commands import run as run_module
from huscf_flwr.flower import launch
from huscf_flwr.methods import resolved
from huscf_flwr.run.folder_lock import held
from huscf_flwr.run.run_folder import read_metrics
from tests.commands.invoking import invoke, refused, run_demo, succeeded
from tests.quick import mostly_slow
from tests.run.builders import DOMAINS, UNJUDGED, small_run
from tests.run.counting import count_calls


@pytest.fixture
def own_images(images, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(images, tmp_path / "images", ignore=shutil.ignore_patterns("cache"))


@pytest.mark.slow
def test_a_run_shows_its_rounds_a_table_and_where_the_report_is(trained):
    folder, output = trained
    assert "round 1/2" in output
    assert "round 2/2" in output
    for domain in DOMAINS:
        assert domain in output
    assert "report.html" in output.replace("\n", "")
    assert (folder / "report.html").stat().st_size > 0


@pytest.mark.slow
def test_an_earlier_run_of_the_same_name_is_moved_aside_and_the_terminal_says_where(images, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").touch()
    refused(run_demo(images, tmp_path, rouns=3))
    assert (tmp_path / "small" / "mine").exists()
    shown = succeeded(run_demo(images, tmp_path, **UNJUDGED))
    (moved,) = (path.parent for path in tmp_path.rglob("mine"))
    assert f"{tmp_path / 'small'} was there already; the run in it is kept as {moved}\n" in shown


READ = {
    "huscf_flwr.run.check.check_place": "the run's place",
    "huscf_flwr.config.reading.read_yaml": "configuration",
    "huscf_flwr.run.checkpoint.read_checkpoint": "checkpoint",
    "huscf_flwr.run.checkpoint._read_state": "state of the checkpoint",
    "huscf_flwr.run.checkpoint.read_exactly": "tensors of the checkpoint",
    "huscf_flwr.data.domains.load_domain": "domain",
    "huscf_flwr.run.check.images_hash": "hash of images",
}
READ_ONCE = {**dict.fromkeys(READ.values(), 1), "domain": len(DOMAINS)}


@pytest.mark.slow
@pytest.mark.parametrize("method", mostly_slow(["huscf", "fedgan"], "fedgan"))
def test_what_a_run_needs_is_read_once(images, tmp_path, monkeypatch, method):
    """From the command line to the end, of a run that is resumed: nothing is read for a check alone.

    Whoever judges, after the round and at the end, has the images that were loaded to train on.
    """
    settings = {"method": method, "evaluation.every": 1}
    succeeded(run_demo(images, tmp_path, rounds=1, **settings))
    calls = count_calls(monkeypatch, READ)
    shown = succeeded(resumed(tmp_path, "local"))
    assert "round 2/2" in shown
    judged = [line["domains"] for line in read_metrics(tmp_path / "small")]
    assert [sorted(domains) for domains in judged] == [sorted(DOMAINS)] * 2
    assert calls == READ_ONCE


@pytest.mark.slow
def test_with_flower_the_command_reads_once_what_it_checks(images, tmp_path, monkeypatch):
    """What Flower's processes read is in ``tests/flower/test_read_once.py``."""
    succeeded(run_demo(images, tmp_path, rounds=1, method="fedgan", **UNJUDGED))
    monkeypatch.setattr(run_module, "run_with_flower", lambda *_, **__: None)
    calls = count_calls(monkeypatch, READ)
    succeeded(resumed(tmp_path, "flower"))
    assert calls == READ_ONCE


def test_with_flower_the_command_takes_no_hash_that_nothing_is_compared_with(images, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "run_with_flower", lambda *_, **__: None)
    calls = count_calls(monkeypatch, READ)
    succeeded(run_demo(images, tmp_path, engine="flower"))
    assert (calls["domain"], calls["hash of images"]) == (len(DOMAINS), 0)


def resumed(output, engine):
    """Go on with the run of ``run_demo`` for a second round."""
    folder = output / "small"
    more = ("--set", f"resume={folder}", "--set", "rounds=2")
    return invoke("run", folder / "config.yaml", "--engine", engine, *more)


@pytest.mark.parametrize("engine", ["local", "flower"])
@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"data.domains": "digits,lettres"}, ["unknown domain 'lettres'", "did you mean 'letters'"]),
        ({"data.root": "/no/such/folder"}, ["data.root", "/no/such/folder"]),
        (
            {"cuts.solver": "fixed", "cuts.fixed": "1,3,1,1"},
            ["generator_tail keeps 3 blocks", "authors-28 allows 1 to 2"],
        ),
        ({"cuts.solver": "fixed", "cuts.fixed": "0,1,1,1"}, ["generator_head keeps 0 blocks"]),
        ({"cuts.solver": "fixed"}, ["cuts.solver: fixed needs cuts.fixed"]),
        ({"huscf.clusters": 5}, ["huscf.clusters: 5 clusters for 4 clients"]),
        ({"rouns": 3}, ["unknown key 'rouns'", "did you mean 'rounds'"]),
        ({"huscf.betta": 3}, ["unknown key 'huscf.betta'", "did you mean 'huscf.beta'"]),
        ({"method.beta": 3}, ["method.beta", "huscf.beta"]),
        ({"method": "huskf"}, ["'huskf'", "did you mean 'huscf'"]),
        ({"batch_size": 1}, ["'batch_size' is 1"]),
        ({"model.spec": "authors-29"}, ["'authors-29'", "did you mean 'authors-28'"]),
        ({"data.scenario": "dem"}, ["'dem'", "did you mean 'demo'"]),
        ({"clients": 1}, ["client"]),
        ({"clients": 130}, ["client"]),
    ],
)
def test_bad_input_is_named_before_any_training(images, tmp_path, engine, settings, messages):
    output = refused(run_demo(images, tmp_path, engine=engine, **settings))
    for message in messages:
        assert message in output
    assert list(tmp_path.iterdir()) == []


def test_fewer_clients_than_hosts(images, tmp_path):
    output = refused(run_demo(images, tmp_path, "--supernodes", "5", engine="flower"))
    assert "clients: 4 clients for 5 SuperNodes" in output
    assert list(tmp_path.iterdir()) == []


def part(root, name):
    return root / "letters" / f"{name}-ubyte.gz"


def cut_short(root):
    path = part(root, "train-images-idx3")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))


def cut_the_zip_short(root):
    path = part(root, "train-images-idx3")
    path.write_bytes(path.read_bytes()[:-20])


def remove(root):
    part(root, "t10k-labels-idx1").unlink()


def relabel(label):
    def change(root):
        path = part(root, "train-labels-idx1")
        labels = gzip.decompress(path.read_bytes())[8:]
        header = struct.pack(">4BI", 0, 0, 8, 1, len(labels))
        path.write_bytes(gzip.compress(header + bytes([label]) + labels[1:]))

    return change


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (remove, ["t10k-labels-idx1-ubyte", "no such file"]),
        (cut_short, ["train-images-idx3-ubyte.gz", "47040 bytes, but it holds 47039"]),
        (cut_the_zip_short, ["train-images-idx3-ubyte.gz", "truncated"]),
        (relabel(10), ["train-labels-idx1-ubyte.gz", "label 10 of sample 0 is out of range", "0..9"]),
    ],
)
def test_damaged_data_is_named_before_any_training(own_images, tmp_path, damage, messages):
    damage(own_images)
    output = refused(run_demo(own_images, tmp_path / "runs"))
    for message in messages:
        assert message in output
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_no_run_lists_those_that_are():
    output = refused(invoke("run", "dem", "--engine", "local"))
    assert "did you mean 'demo'" in output
    assert "real-images" in output


def test_a_run_that_diverges_says_where(images, tmp_path):
    output = refused(run_demo(images, tmp_path, **{"optimiser.learning_rate": 1e30}))
    output = " ".join(output.split())
    assert "dropped out of round 1 in step 1, CRITICISE" in output
    assert "numbers that are not finite or far too large" in output
    assert "round 1: 0 clients are left, fewer than min_clients = 1" in output
    assert (tmp_path / "small" / "config.yaml").is_file()


def test_a_run_that_cannot_be_resumed_says_why(images, tmp_path):
    assert "has no checkpoint" in refused(run_demo(images, tmp_path, resume=tmp_path / "nowhere"))


def test_a_taken_port_is_named_before_anything_starts(images, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "private_superlink", lambda home: pytest.fail("must not start"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        output = refused(run_demo(images, tmp_path, engine="flower", **{"executor.bind": bind}))
    assert f"executor.bind: cannot listen at {bind} (Address already in use); take a free port" in output
    assert list(tmp_path.iterdir()) == []


def test_the_flower_engine_is_given_the_run(images, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        run_module, "run_with_flower", lambda *positional, **named: given.append((positional, named))
    )
    succeeded(run_demo(images, tmp_path, "--supernodes", "3", engine="flower"))
    (((config, folder), named),) = given
    assert config == resolved(small_run(images, tmp_path))
    assert (folder / "pyproject.toml").is_file()
    assert named["supernodes"] == 3


@pytest.mark.parametrize(
    ("engine", "place"), [("local", "small"), ("flower", "small"), ("flower", ".flower/small")]
)
def test_a_run_whose_folder_is_in_use_is_refused_and_nothing_is_moved(
    images, tmp_path, monkeypatch, engine, place
):
    """Both the run's own folder and Flower's for it; the latter only Flower needs."""
    monkeypatch.setattr(launch, "private_superlink", lambda home: pytest.fail("must not start"))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "mine").touch()
    with held(tmp_path / place):
        output = refused(run_demo(images, tmp_path, engine=engine))
        assert f"is being written by process {os.getpid()} " in " ".join(output.split())
    assert (tmp_path / "small" / "mine").exists()
