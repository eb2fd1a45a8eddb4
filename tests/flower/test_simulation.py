"""`flwr run` as a simulation, end to end; results are read from the run's folder.

A SuperLink with a home and ports of its own is started once, and serves all runs in turn.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import RunConfig, load_config, to_run_config
from huscf_flwr.data import LabelledImages, write_idx_folder
from huscf_flwr.data.formats.writing import write_place
from huscf_flwr.flower.launch import run_on
from huscf_flwr.flower.superlink import FlowerRunError, private_superlink
from huscf_flwr.run.checkpoint import last_round
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.flower.processes import left_of
from tests.run.builders import (
    METHODS,
    SilentDisplay,
    all_tensors,
    assert_close,
    evaluations,
    private_tensors,
    server_tensors,
)

APP = Path(__file__).resolve().parents[2]
CORES = os.cpu_count() or 1

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two domains of 28x28 images, bright on the left or at the top, brighter for a larger label.

    The first has MNIST's files, the second folders of pictures.
    """
    root = tmp_path_factory.mktemp("images")
    for name in ("left", "top"):
        stream = torch.Generator().manual_seed(len(name))
        parts = []
        for count in (120, 40):
            labels = torch.arange(count) % 10
            pixels = torch.randint(0, 40, (count, 1, 28, 28), generator=stream)
            half = (slice(None), slice(None), slice(None), slice(0, 14))
            half = half if name == "left" else (slice(None), slice(None), slice(0, 14))
            pixels[half] += 20 * labels.view(-1, 1, 1, 1)
            parts.append(LabelledImages(pixels.to(torch.uint8), labels))
        if name == "left":
            write_idx_folder(root / name, *parts)
        else:
            write_place(root / name, "pictures", *parts)
    return root


def config(images, output, name, **settings) -> RunConfig:
    given = {
        "name": name,
        "output": output,
        "rounds": 2,
        "local_epochs": 1,
        "batch_size": 16,
        "clients": 4,
        "model.width": 0.05,
        "data.scenario": "two-domains-iid",
        "data.domains": "left,top",
        "data.root": images,
        "data.cache": images / "cache",
        "evaluation.images": 20,
        "evaluation.synthetic_images": 0,
        "evaluation.every": 0,
        "compute.precision": "float64",
        "compute.threads": 1,
        **settings,
    }
    return load_config("demo", [f"{key}={value}" for key, value in given.items()])


@pytest.fixture(scope="module")
def superlink(tmp_path_factory):
    with private_superlink(tmp_path_factory.mktemp("superlink")) as superlink:
        yield superlink


def run_there(superlink, config, *, supernodes=2, cores_each=1, display=None):
    """Run on virtual SuperNodes of the SuperLink; return the summary.

    Flower starts a process for each that its cores allow at the same time; with all cores for each, only one.
    """
    resources = f"client-resources-num-cpus={cores_each} init-args-num-cpus={max(CORES, supernodes)}"
    federation = ("--federation-config", f"num-supernodes={supernodes} {resources}")
    display = display or SilentDisplay()
    return run_on(superlink, config, APP, display, *federation).summary(display)


SIMULATED = ("huscf", "fedproto")


@pytest.fixture(scope="module")
def local(images, tmp_path_factory):
    """The folders of runs of the local engine with each method."""
    folder = tmp_path_factory.mktemp("local")
    runs = {name: config(images, folder, name, **METHODS[name]) for name in SIMULATED}
    for run in runs.values():
        train_locally(run, display=SilentDisplay(), judged=False)
    return {name: run.folder for name, run in runs.items()}


@pytest.mark.parametrize("method", SIMULATED)
def test_two_supernodes_train_the_same_weights(images, tmp_path, superlink, local, method):
    """Those of a method without lock-step need not run side by side: here one waits for the other."""
    run = config(images, tmp_path, f"simulated-{method}", **METHODS[method])
    summary = run_there(superlink, run, cores_each=1 if method == "huscf" else CORES)

    assert (summary["method"], summary["rounds"]) == (method, 2)
    assert [line["hosts"] for line in read_metrics(run.folder)] == [2, 2]
    assert_close(all_tensors(run.folder), all_tensors(local[method]))
    assert len(evaluations(run.folder)) == (1 if method == "fedproto" else 0)
    for name in ("config.yaml", "clients.json", "metrics.jsonl", "summary.json", "report.html", "flower.log"):
        assert (run.folder / name).stat().st_size > 0, name
    assert (run.folder / "cuts.json").exists() == (method == "huscf")


def test_supernodes_that_cannot_run_side_by_side_are_found_out(images, tmp_path, superlink):
    """Each SuperNode takes all cores, as with Flower's defaults on two cores: only one hosts."""
    run = config(images, tmp_path, "one-at-a-time", rounds=1, **{"executor.window": 3})
    run_there(superlink, run, cores_each=CORES)

    assert read_metrics(run.folder)[0]["hosts"] == (1 if CORES > 1 else 2)
    log = (run.folder / "flower.log").read_text()
    assert "1 of 2 SuperNodes can run at the same time" in log
    assert "client-resources-num-cpus=1" in log


def test_a_run_that_fails_says_why_and_keeps_what_it_wrote(images, tmp_path, superlink):
    run = config(images, tmp_path, "diverges", rounds=3, **{"optimiser.learning_rate": 1e300})
    with pytest.raises(FlowerRunError, match=r"round 1: 0 clients are left.*not finite"):
        run_there(superlink, run, supernodes=1, cores_each=CORES)
    assert (run.folder / "config.yaml").exists()
    assert (run.folder / "cuts.json").exists()


def test_a_damaged_picture_is_named_in_one_line_before_any_client_loads_it(images, tmp_path, superlink):
    """Whoever starts Flower by hand has checked nothing: the ServerApp does."""
    shutil.copytree(images, tmp_path / "images")
    damaged = min((tmp_path / "images" / "top" / "train").rglob("*.png"))
    damaged.write_bytes(damaged.read_bytes()[:40])
    run = config(tmp_path / "images", tmp_path, "damaged", rounds=1, **METHODS["fedgan"])
    with pytest.raises(FlowerRunError, match=rf"^{re.escape(str(damaged))}: not a picture") as caught:
        run_there(superlink, run, cores_each=CORES)
    assert "\n" not in str(caught.value)
    log = Path(str(caught.value).rpartition("the whole log is ")[2]).read_text()
    # Flower may have started actors meanwhile, and says so when it ends them.
    assert not [line for line in log.splitlines() if "ClientAppActor" in line and damaged.name in line]
    assert not (run.folder / "metrics.jsonl").exists()


def end(process):
    """End a run that still goes on; to kill it at once would leave Flower and Ray behind."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=60)
    process.kill()


def test_ctrl_c_stops_the_run_and_another_goes_on_with_all_that_was_kept(images, tmp_path, superlink):
    """Moments of the virtual clients too: without them the weights would be others.

    It goes on with one SuperNode, which hosts all clients.
    """
    stopped = config(images, tmp_path, "stopped", rounds=99)
    settings = [f"--set={key}={value}" for key, value in to_run_config(stopped).items() if value != ""]
    command = "from huscf_flwr.commands.main import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "run", "demo", "--engine", "flower", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (last_round(stopped.folder) or 0):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    finally:
        end(process)
    assert process.returncode == 130, error
    kept = last_round(stopped.folder)
    assert f"round {kept} is the last that is kept in {stopped.folder}" in error
    assert f"--set resume={stopped.folder} --engine flower --supernodes 2" in error
    assert left_of(stopped.output / ".flower") == []
    assert (stopped.folder / "flower.log").stat().st_size > 0

    rounds = kept + 1
    whole = config(images, tmp_path, "whole", rounds=rounds)
    train_locally(whole, display=SilentDisplay(), judged=False)
    display = SilentDisplay()
    rest = config(images, tmp_path, "stopped", rounds=rounds, resume=stopped.folder)
    run_there(superlink, rest, supernodes=1, cores_each=CORES, display=display)
    assert [line["round"] for line in display.rounds] == [rounds]
    assert [line["round"] for line in read_metrics(rest.folder)] == list(range(1, rounds + 1))
    assert_close(server_tensors(rest.folder), server_tensors(whole.folder))
    found, expected = (of_round(rounds, private_tensors(run.folder)) for run in (rest, whole))
    assert_close(found, expected)


def of_round(number, kept):
    return {name: tensor for name, tensor in kept.items() if f"-round-{number:04}/" in name}


def test_an_unknown_setting_never_reaches_flower(images, tmp_path):
    with pytest.raises(ConfError, match=r"rouns.*rounds"):
        config(images, tmp_path, "typo", rouns=3)
