"""`flwr run`, end to end, with a home and ports of its own; results are read from the run's folder."""

import os
from pathlib import Path

import pytest
import torch

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import RunConfig, load_config
from huscf_flwr.data import LabelledImages, write_idx_folder
from huscf_flwr.flower_run import FlowerRunError, run_with_flower
from huscf_flwr.training.files import read_tensors
from huscf_flwr.training.local import train_locally
from huscf_flwr.training.run_folder import read_metrics
from tests.training.builders import SilentDisplay

APP = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two domains of 28x28 images, bright on the left or at the top, brighter for a larger label."""
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
        write_idx_folder(root / name, *parts)
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
        "data.cache": output / "cache",
        "method.clusters": 2,
        "evaluation.images": 100,
        "evaluation.synthetic_images": 100,
        "evaluation.every": 0,
        "compute.precision": "float64",
        "compute.threads": 1,
        **settings,
    }
    return load_config("demo", [f"{key}={value}" for key, value in given.items()])


def weights(folder: Path):
    """All that the server holds at the end: bodies, moments, and the blocks of every cluster."""
    (path,) = (folder / "checkpoint").glob("server-*.safetensors")
    return read_tensors(path)


@pytest.fixture(scope="module")
def local(images, tmp_path_factory):
    run = config(images, tmp_path_factory.mktemp("local"), "local")
    train_locally(run, display=SilentDisplay())
    return weights(run.folder)


@pytest.mark.parametrize(("supernodes", "cores_each", "hosts"), [(1, 1, 1), (2, 1, 2), (4, 1, 4)])
def test_any_number_of_hosts_trains_the_same_weights(images, tmp_path, local, supernodes, cores_each, hosts):
    run = config(images, tmp_path, f"nodes-{supernodes}")
    summary = run_with_flower(run, APP, supernodes=supernodes, display=SilentDisplay(), cores_each=cores_each)

    assert summary["rounds"] == 2
    assert [line["hosts"] for line in read_metrics(run.folder)] == [hosts, hosts]
    trained = weights(run.folder)
    assert trained.keys() == local.keys()
    for name, tensor in local.items():
        assert torch.allclose(trained[name].double(), tensor.double(), rtol=0, atol=1e-9), name
    for name in ("config.yaml", "cuts.json", "metrics.jsonl", "summary.json", "report.html", "flower.log"):
        assert (run.folder / name).stat().st_size > 0, name


def test_supernodes_that_cannot_run_side_by_side_are_found_out(images, tmp_path):
    """Each SuperNode takes all cores, as with Flower's defaults on two cores: only one hosts."""
    run = config(images, tmp_path, "one-at-a-time", rounds=1, **{"executor.window": 3})
    run_with_flower(run, APP, supernodes=2, display=SilentDisplay(), cores_each=os.cpu_count() or 1)

    assert read_metrics(run.folder)[0]["hosts"] == (1 if (os.cpu_count() or 1) > 1 else 2)
    log = (run.folder / "flower.log").read_text()
    assert "1 of 2 SuperNodes can run at the same time" in log
    assert "client-resources-num-cpus=1" in log


def test_a_run_that_fails_says_why_and_keeps_what_it_wrote(images, tmp_path):
    run = config(images, tmp_path, "diverges", rounds=3, **{"optimiser.learning_rate": 1e300})
    with pytest.raises(FlowerRunError, match=r"round \d.*step \d+, client \d+: the \w+'s loss is"):
        run_with_flower(run, APP, supernodes=2, display=SilentDisplay())
    assert (run.folder / "config.yaml").exists()
    assert (run.folder / "cuts.json").exists()


def test_an_unknown_setting_never_reaches_flower(images, tmp_path):
    with pytest.raises(ConfError, match=r"rouns.*rounds"):
        config(images, tmp_path, "typo", rouns=3)
