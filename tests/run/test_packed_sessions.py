"""Sessions whose numbers are packed: the same to the bit however a round comes about, whatever the method."""

import pytest
import torch

from huscf_flwr.session import DIRECTIONS, WireEnd, wire_type
from huscf_flwr.session.wire.codec import FrameReader, encode_frame
from tests.quick import mostly_slow
from tests.run.builders import (
    METHODS,
    all_tensors,
    assert_same_run,
    assert_same_state,
    assert_same_to_the_bit,
    method_class,
)
from tests.run.local_runs import trained_folder, training_with
from tests.session.two_exchanges import Painter

EXCHANGES = {name: method_class(name).crossing.exchanges for name in METHODS}
LOCK_STEP = [name for name, exchanges in EXCHANGES.items() if exchanges]
SESSIONS = [each for each in dict.fromkeys((*EXCHANGES.values(), Painter.exchanges)) if each]
"""In an order: workers of a test run must collect the same tests."""
PRESETS = ["small", "smallest"]


def frame_of(kinds, seed):
    """Tensors of one shape for numbers, so that any may be sent as the difference to another."""
    stream = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randint(kind.below or 9, (4,), generator=stream)
        if kind.dtype
        else torch.randn(4, 3, 9, 9, generator=stream, dtype=torch.float64)
        for kind in kinds
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("exchanges", SESSIONS, ids=len)
def test_what_a_step_sends_arrives_over_a_stream_as_within_a_process(exchanges, preset):
    wire = wire_type(preset, torch.float64, seed=3, round_number=2)
    for direction in DIRECTIONS:
        sender, receiver, local = (WireEnd(wire, exchanges, direction) for _ in range(3))
        reader = FrameReader(exchanges, lambda *_: None, receiver)
        for exchange in 2 * exchanges:
            frame = frame_of(exchange.kinds(direction), exchange.number)
            (arrived,) = filter(None, map(reader.add, encode_frame(exchange, 1, frame, sender)))
            expected = local.crossed(exchange, 1, frame)
            for tensor, other, sent in zip(arrived[2], expected, frame, strict=True):
                assert torch.equal(tensor, other)
                assert torch.equal(tensor, sent) is not sent.is_floating_point()


@pytest.mark.parametrize("preset", mostly_slow(PRESETS, "smallest"))
@pytest.mark.parametrize("method", mostly_slow(LOCK_STEP, "huscf"))
def test_a_round_that_is_tried_again_has_the_same_numbers(tmp_path, method, preset):
    tried, other, exact = (
        training_with(method, tmp_path, name=name, **{"wire.preset": each})
        for name, each in (("tried", preset), ("other", preset), ("exact", "exact"))
    )
    for training in (tried, other, exact):
        training.train()
    tried.begin()
    tried.rounds.take_back()
    for training in (tried, other, exact):
        training.train()
    assert tried.rounds.kept == other.rounds.kept
    assert_same_state(tried.method.state(), other.method.state())
    found, unpacked = (training.method.state().tensors for training in (tried, exact))
    assert any(not torch.equal(tensor, unpacked[name]) for name, tensor in found.items())


@pytest.mark.parametrize("preset", mostly_slow(PRESETS, "smallest"))
@pytest.mark.parametrize("method", mostly_slow(LOCK_STEP, "huscf"))
def test_a_resumed_run_has_the_numbers_of_the_uninterrupted_one(images, tmp_path, method, preset):
    settings = {**METHODS[method], "wire.preset": preset, "checkpoint.keep_last": 9}
    whole = trained_folder(tmp_path, "whole", images, **settings)
    rest = trained_folder(tmp_path, "rest", images, **settings, resume=whole, resume_round=2)
    assert_same_run(rest, whole)


@pytest.mark.parametrize("method", mostly_slow(LOCK_STEP, "mdgan"))
def test_the_number_of_hosts_changes_no_bit(images, tmp_path, method):
    settings = {**METHODS[method], "wire.preset": "smallest", "compute.precision": "float64", "rounds": 2}
    one, two = (trained_folder(tmp_path, f"hosts-{hosts}", images, hosts, **settings) for hosts in (1, 2))
    assert_same_to_the_bit(all_tensors(two), all_tensors(one))


@pytest.mark.parametrize("cut", ["1,1,1,1", "2,2,2,1", pytest.param("2,2,2,2", marks=pytest.mark.slow)])
def test_how_many_times_fewer_bytes_a_step_sends_at_the_same_cut(tmp_path, cut):
    """With networks as wide as the demo's."""
    settings = {"model.width": 0.25, "cuts.solver": "fixed", "cuts.fixed": cut}
    sent = {}
    for preset in ("exact", "half", *PRESETS):
        opened, _ = training_with("huscf", tmp_path, **settings, **{"wire.preset": preset}).begin()
        kinds = (opened.ledger.by_kind(direction) for direction in DIRECTIONS)
        sent[preset] = sum(count for each in kinds for kind, count in each.items() if kind != "segments")
    fewer = {preset: sent["exact"] / count for preset, count in sent.items()}
    assert fewer["half"] == 2
    assert fewer["small"] > 5.3
    assert fewer["smallest"] > 10
