"""What a small run computes is what it computed before the program was last rebuilt.

``expected`` was written by the commit ``7afb06c``, with two hosts, in float64 and one thread. On the machine
that wrote it, all is equal to the bit (``compare_versions`` shows that of two checkouts); other processors
round otherwise, and draw normal numbers with other last digits. Adam makes a full step of the least gradient,
whose sign such a digit may decide: the small learning rate keeps that small.
"""

import json
from pathlib import Path

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.run.checkpoint import read_checkpoint
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.methods.huscf.scripted_cuts import script_cuts
from tests.run.builders import UNJUDGED, SilentDisplay, small_run

CHANGES = {
    1: {0: Cut(2, 2, 2, 2), 1: Cut(1, 1, 1, 1)},
    2: {1: Cut(2, 1, 1, 2), 2: Cut(1, 2, 2, 1), 0: Cut(1, 2, 2, 1)},
}
COMMON = {
    "rounds": 3,
    "compute.precision": "float64",
    "checkpoint.keep_last": 3,
    "optimiser.learning_rate": 0.00005,
}
RUNS = {
    "corrected": {"huscf.clusters": 2},
    "parity": {"mode": "parity"},
    "changing-cuts": {"cuts.dynamic": "true"},
}
EXACT = ("id", "cluster", "cut")
NUMBERS = ("weight", "global_weight", "divergence")
TOLERANCE = 1e-6


@pytest.fixture(scope="module", params=RUNS)
def run(request, images, tmp_path_factory):
    """The folder of a run of three rounds, and what is expected of it."""
    expected = json.loads((Path(__file__).parent / "expected" / f"{request.param}.json").read_text())
    settings = {**COMMON, **UNJUDGED, **RUNS[request.param]}
    config = small_run(images, tmp_path_factory.mktemp("same"), **settings)
    with pytest.MonkeyPatch.context() as patched:
        script_cuts(patched, CHANGES)
        train_locally(config, hosts=2, display=SilentDisplay(), judged=False)
    return config.folder, expected


def test_clusters_cuts_and_bytes_are_the_same(run):
    folder, expected = run
    lines = read_metrics(folder)
    assert len(lines) == len(expected["rounds"]) == 3
    for line, before in zip(lines, expected["rounds"], strict=True):
        assert line["facts"]["bodies"] == before["bodies"]
        assert {way: sum(of.values()) for way, of in line["bytes"].items()} == before["bytes"]
        assert _chosen(line, EXACT) == _chosen(before, EXACT)


def test_losses_weights_and_divergences_are_the_same(run):
    folder, expected = run
    for line, before in zip(read_metrics(folder), expected["rounds"], strict=True):
        for client, known in zip(line["clients"], before["clients"], strict=True):
            assert client["losses"] == pytest.approx(known["losses"], rel=0, abs=TOLERANCE)
            for name in NUMBERS:
                assert client[name] == pytest.approx(known[name], rel=0, abs=TOLERANCE)


def test_the_first_rounds_models_and_moments_are_the_same(run):
    """Block by block, by their Euclidean norms."""
    folder, expected = run
    squares = {}
    for name, tensor in read_checkpoint(folder, 1).tensors.items():
        block = ".".join(name.split(".")[:2])
        squares[block] = squares.get(block, 0.0) + float(tensor.double().square().sum())
    norms = {block: square**0.5 for block, square in squares.items()}
    assert norms == pytest.approx(expected["norms"], rel=TOLERANCE, abs=TOLERANCE)


def _chosen(line, names):
    return [{name: client[name] for name in names} for client in line["clients"]]
