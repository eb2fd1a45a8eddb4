"""What a small run computes is what it computed before the program was last rebuilt.

``expected`` was written by the commit ``7afb06c``, with two hosts, in float64 and one thread. On the machine
that wrote it, all is equal to the bit (``compare_versions`` shows that of two checkouts); other processors
round otherwise, and draw normal numbers with other last digits. Adam makes a full step of the least gradient,
whose sign such a digit may decide: the small learning rate keeps that small. After a change of results that
is intended, ``python -m tests.run.compare_versions --write`` writes them anew.
"""

import json
from pathlib import Path

import pytest

from huscf_flwr.models import Cut
from huscf_flwr.run.checkpoint import read_checkpoint
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.methods.huscf.scripted_cuts import script_cuts
from tests.quick import mostly_slow
from tests.run.builders import UNJUDGED, SilentDisplay, small_run

EXPECTED = Path(__file__).parent / "expected"
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
# 7afb06c clusters each round by its own activations alone.
OF_ONE_ROUND = {"huscf.evidence": "round"}
KEPT_SINCE = "evidence"
"""The tensor that checkpoints of 7afb06c do not have: features that rounds to come may cluster by.

It is kept whatever ``huscf.evidence`` says, and decides nothing where that is ``round``.
"""
RUNS = {
    "corrected": {"huscf.clusters": 2, **OF_ONE_ROUND},
    "parity": {"mode": "parity", **OF_ONE_ROUND},
    "changing-cuts": {"cuts.dynamic": "true", **OF_ONE_ROUND},
}
EXACT = ("id", "cluster", "cut")
NUMBERS = ("weight", "global_weight", "divergence")
TOLERANCE = 1e-6


def train_small(name, images, output):
    """Train the run of three rounds of this name; return its folder."""
    config = small_run(images, output, **{**COMMON, **UNJUDGED, **RUNS[name]})
    with pytest.MonkeyPatch.context() as patched:
        script_cuts(patched, CHANGES)
        train_locally(config, hosts=2, display=SilentDisplay(), judged=False)
    return config.folder


def results_of(folder):
    """Return what is compared: rounds and clients, and the Euclidean norms of the first checkpoint's blocks.

    A block's norm is that of its weights, and of its moments.
    """
    rounds = [
        {
            "bodies": line["facts"]["bodies"],
            "bytes": {way: sum(kinds.values()) for way, kinds in sorted(line["bytes"].items())},
            "clients": [
                {name: client[name] for name in (*EXACT, *NUMBERS, "losses")} for client in line["clients"]
            ],
        }
        for line in read_metrics(folder)
    ]
    squares = {}
    for name, tensor in read_checkpoint(folder, 1).tensors.items():
        if name == KEPT_SINCE:
            continue
        block = ".".join(name.split(".")[:2])
        squares[block] = squares.get(block, 0.0) + float(tensor.double().square().sum())
    return {"rounds": rounds, "norms": {block: square**0.5 for block, square in sorted(squares.items())}}


@pytest.fixture(scope="module", params=mostly_slow(RUNS, "corrected"))
def results(request, images, tmp_path_factory):
    """What a run of three rounds gives, and what is expected of it."""
    expected = json.loads((EXPECTED / f"{request.param}.json").read_text())
    return results_of(train_small(request.param, images, tmp_path_factory.mktemp("same"))), expected


def test_clusters_cuts_and_bytes_are_the_same(results):
    found, expected = results
    assert len(found["rounds"]) == len(expected["rounds"]) == 3
    for line, before in zip(found["rounds"], expected["rounds"], strict=True):
        assert (line["bodies"], line["bytes"]) == (before["bodies"], before["bytes"])
        assert _chosen(line, EXACT) == _chosen(before, EXACT)


def test_losses_weights_and_divergences_are_the_same(results):
    found, expected = results
    for line, before in zip(found["rounds"], expected["rounds"], strict=True):
        for client, known in zip(line["clients"], before["clients"], strict=True):
            assert client["losses"] == pytest.approx(known["losses"], rel=0, abs=TOLERANCE)
            for name in NUMBERS:
                assert client[name] == pytest.approx(known[name], rel=0, abs=TOLERANCE)


def test_the_first_rounds_models_and_moments_are_the_same(results):
    """Block by block."""
    found, expected = results
    assert found["norms"] == pytest.approx(expected["norms"], rel=TOLERANCE, abs=TOLERANCE)


def _chosen(line, names):
    return [{name: client[name] for name in names} for client in line["clients"]]
