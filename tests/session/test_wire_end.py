from dataclasses import replace

import pytest
import torch

from huscf_flwr.session import DIRECTIONS, FrameError, WireEnd, WireType, wire_end, wire_type
from huscf_flwr.session.packing import unpack
from huscf_flwr.split import CRITICISE, DISCRIMINATE, DISCRIMINATOR_BACKWARD, EXCHANGES, GENERATE

PRESETS = ["small", "smallest"]


def ends(preset, seed=0, round_number=1, direction="up"):
    wire = wire_type(preset, torch.float64, seed, round_number)
    return [WireEnd(wire, EXCHANGES, direction) for _ in range(3)]


def numbers(seed, shape=(4, 16, 7, 7)):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else drawn


def step(seed):
    """What a client sends up in three of the exchanges of a step."""
    fakes, reals = numbers(seed), numbers(seed + 1)
    again = fakes + 0.01 * numbers(seed + 2)
    return [(GENERATE, (numbers(seed + 3),)), (DISCRIMINATE, (fakes, reals)), (CRITICISE, (again,))]


@pytest.mark.parametrize("preset", PRESETS)
def test_what_arrives_is_what_would_cross_within_a_process(preset):
    sender, receiver, local = ends(preset)
    for exchange, frame in (*step(0), *step(10)):
        arrived = receiver.incoming(exchange, 0, sender.outgoing(exchange, 0, frame))
        for one, other, sent in zip(arrived, local.crossed(exchange, 0, frame), frame, strict=True):
            assert torch.equal(one, other)
            assert (one.dtype, one.shape, one.stride()) == (sent.dtype, sent.shape, sent.stride())


@pytest.mark.parametrize("preset", PRESETS)
def test_what_crosses_again_makes_up_for_what_was_lost_before(preset):
    """Its error is that of a small difference, and not what both have lost."""
    _, _, end = ends(preset)
    errors = {}
    for exchange, frame in step(0):
        arrived = end.crossed(exchange, 0, frame)[0]
        errors[exchange] = float((arrived - frame[0]).square().mean())
    wire = wire_type(preset)
    share = {1: 0.57, 4: 0.0096}[wire.form(CRITICISE.up[0], 10_000).bits]
    # The difference is what was lost, and 0.01 times numbers of one.
    assert errors[CRITICISE] == pytest.approx(share * (errors[DISCRIMINATE] + 1e-4), rel=0.15)


def test_signs_depend_on_run_round_client_step_exchange_and_direction():
    later = replace(DISCRIMINATOR_BACKWARD, number=5)
    assert {kind.role for kind in later.up + later.down} == {"gradient"}
    frame = (numbers(0), numbers(0))

    def crossed(seed=0, round_number=1, client=0, before=0, direction="up", exchange=DISCRIMINATOR_BACKWARD):
        _, _, end = ends("smallest", seed, round_number, direction)
        for _ in range(before):
            end.crossed(exchange, client, frame)
        return end.crossed(exchange, client, frame)

    first, second = crossed()
    assert not torch.equal(first, second)
    assert torch.equal(crossed()[0], first)
    others = [
        crossed(seed=1),
        crossed(round_number=2),
        crossed(client=1),
        crossed(before=1),
        crossed(direction="down"),
        crossed(exchange=later),
    ]
    assert all(not torch.equal(other[0], first) for other in others)


def test_only_what_comes_again_is_unpacked_where_it_is_sent(monkeypatch):
    unpacked = []
    monkeypatch.setattr(wire_end, "unpack", lambda *given: unpacked.append(given) or unpack(*given))
    sender, _, _ = ends("smallest")
    counts = []
    for exchange, frame in step(0):
        sender.outgoing(exchange, 0, frame)
        counts.append(len(unpacked))
    assert counts == [0, 1, 1]


def test_what_does_not_fill_a_group_arrives_as_it_was_sent():
    """Numbers that cross again too."""
    _, _, end = ends("smallest")
    few = numbers(0, (2, 5))
    for exchange, frame in ((DISCRIMINATE, (few, few + 1)), (CRITICISE, (few + 0.3,))):
        for tensor, arrived in zip(frame, end.crossed(exchange, 0, frame), strict=True):
            assert torch.equal(tensor, arrived)


def test_clients_of_an_end_do_not_depend_on_each_other():
    (_, _, one), (_, _, other) = ends("smallest"), ends("smallest")
    for exchange, frame in step(0):
        one.crossed(exchange, 7, tuple(tensor + 1 for tensor in frame))
        for found, expected in zip(
            one.crossed(exchange, 0, frame), other.crossed(exchange, 0, frame), strict=True
        ):
            assert torch.equal(found, expected)


def test_a_difference_needs_what_it_differs_from_in_the_same_step_and_shape():
    _, _, end = ends("smallest")
    with pytest.raises(FrameError, match="what crossed before has None"):
        end.crossed(CRITICISE, 0, (numbers(0),))
    _, _, end = ends("smallest")
    for exchange, frame in step(0):
        end.crossed(exchange, 0, frame)
    end.crossed(GENERATE, 0, (numbers(0),))
    with pytest.raises(FrameError, match="what crossed before has None"):
        end.crossed(CRITICISE, 0, (numbers(0),))
    end.crossed(DISCRIMINATE, 0, (numbers(0), numbers(0)))
    with pytest.raises(FrameError, match=r"shape \(2, 16, 7, 7\), but"):
        end.crossed(CRITICISE, 0, (numbers(0, (2, 16, 7, 7)),))


def test_frames_that_cannot_be_packed_are_refused():
    _, _, end = ends("small")
    with pytest.raises(FrameError, match="DISCRIMINATE up: 1 tensors, expected 2"):
        end.crossed(DISCRIMINATE, 0, (numbers(0),))
    with pytest.raises(FrameError, match=r"torch\.int64 cannot be packed"):
        end.crossed(GENERATE, 0, (torch.zeros(20, 30, dtype=torch.int64),))


def test_exact_changes_nothing_and_copies_nothing():
    for direction in DIRECTIONS:
        end = WireEnd(WireType(), EXCHANGES, direction)
        frame = (numbers(0),)
        assert end.crossed(GENERATE, 0, frame) is frame
        (sent,) = end.outgoing(GENERATE, 0, frame)
        assert sent.numbers.data_ptr() == frame[0].data_ptr()
