import json

import pytest
import torch
from typer.testing import CliRunner

from huscf_flwr.bench import step
from huscf_flwr.bench.plain import PlainGAN
from huscf_flwr.bench.step import mixed_cuts, plain_hash, random_batches, step_gflop
from huscf_flwr.commands.main import app
from huscf_flwr.models import NETWORKS, build_network, load_model_spec
from huscf_flwr.split import Batch
from tests.split.builders import build, local_step

SPEC = load_model_spec("authors-28")


def test_the_opponent_is_the_one_that_was_frozen():
    assert plain_hash() == "40931f5beec1c00345820b388b3095b415b969fc78fa36990a9df9b528b2e4f9"


def load_blocks(blocks, states, first):
    """Copy in weights by the index of the block in its network; ``first`` is that of ``blocks[0]``."""
    for index, block in enumerate(blocks, start=first):
        mine = block.state_dict()
        block.load_state_dict(dict(zip(mine, states[index].values(), strict=True)))


def test_the_opponents_step_is_our_step():
    """The same weights and batches; every weight that matters moves alike, to rounding."""
    cuts = mixed_cuts(SPEC, 3)
    executor, clients = build(SPEC, cuts)
    opponent = PlainGAN([tuple(kept - 1 for kept in cut) for cut in cuts.values()])
    states = {
        name: {
            index: state
            for (_, index), state in build_network(SPEC, name, dtype=torch.float64).states().items()
        }
        for name in NETWORKS
    }
    for part in (opponent.generator_body, opponent.discriminator_body, *opponent.clients):
        part.double()
    for name in NETWORKS:
        load_blocks(getattr(opponent, f"{name}_body"), states[name], 1)
        for mine, cut in zip(opponent.clients, cuts.values(), strict=True):
            load_blocks(getattr(mine, f"{name}_head"), states[name], 0)
            load_blocks(getattr(mine, f"{name}_tail"), states[name], 5 - cut.tail(name))
    for side in (executor, *clients):
        side.segments.load(
            {(name, index): states[name][index] for name in NETWORKS for index in states[name]}
        )
    opponent.make_optimisers()

    batches = [
        Batch(batch.images.double(), batch.labels, batch.latents.double())
        for batch in random_batches(SPEC, 3, 2)
    ]
    opponent.step([(batch.images, batch.labels, batch.latents) for batch in batches])
    local_step(executor, clients, dict(enumerate(batches)))

    for name in NETWORKS:
        _assert_same(getattr(opponent, f"{name}_body"), executor.segments, name, 1)
        for theirs, ours in zip(opponent.clients, clients, strict=True):
            _assert_same(getattr(theirs, f"{name}_head"), ours.segments, name, 0)
            _assert_same(getattr(theirs, f"{name}_tail"), ours.segments, name, 5 - ours.cut.tail(name))


def _assert_same(blocks, segments, name, first):
    states = segments.states()
    for index, block in enumerate(blocks, start=first):
        ours = states[name, index]
        for (entry, mine), theirs in zip(ours.items(), block.state_dict().values(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9, msg=f"{name} {index} {entry}")


def test_a_step_of_the_issue_is_about_406_gflop():
    assert step_gflop(SPEC, mixed_cuts(SPEC, 8), 64) == pytest.approx(406, rel=0.02)


@pytest.mark.parametrize(("gflops", "sizes"), [(100, [512, 1024, 2048, 4096]), (1, [512])])
def test_a_product_that_would_take_long_is_not_tried(gflops, sizes, monkeypatch):
    tried = []

    def seconds_of(steps, *, repeats, warm_up):
        size = len(steps[0].args[0])
        tried.append(size)
        return [[2 * size**3 / gflops / 1e9] * repeats]

    monkeypatch.setattr(step, "seconds_of", seconds_of)
    assert step.matrix_gflops(torch.bfloat16) == pytest.approx(gflops)
    assert tried == sizes


@pytest.mark.parametrize("arguments", [["step", "--width", "0.25", "--precision", "bf16"], ["plain"]])
def test_a_benchmark_prints_one_object(arguments):
    command = [
        "bench",
        *arguments,
        "--clients",
        "1",
        "--batch-size",
        "2",
        "--repeats",
        "1",
        "--format",
        "json",
    ]
    printed = CliRunner().invoke(app, command)
    assert printed.exit_code == 0, printed.output
    figures = json.loads(printed.stdout)
    assert figures["seconds"] > 0
    assert ("plain_sha256" in figures) == (arguments[0] == "plain")
