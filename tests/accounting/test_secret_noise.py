"""Noise from a key: as wide as stated, repeatable with the key, and never the same with another."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from huscf_flwr.accounting.secret_noise import KeyedStream, secret_key, seeded_key


def test_noise_is_normal_with_the_stated_deviation() -> None:
    noise = KeyedStream(seeded_key(0, "noise")).normal_like(torch.zeros(200, 100, dtype=torch.float64), 2.5)

    assert noise.shape == (200, 100)
    assert kstest(noise.flatten().numpy(), "norm", args=(0, 2.5)).pvalue > 0.01
    assert float(noise.std()) == pytest.approx(2.5, rel=0.02)


def test_each_is_chosen_with_the_probability() -> None:
    stream = KeyedStream(seeded_key(0, "choice"))
    drawn = [stream.chosen(50, 0.1) for _ in range(400)]

    sizes = torch.tensor([len(each) for each in drawn], dtype=torch.float64)
    often = torch.bincount(torch.cat(drawn), minlength=50) / 400

    # The variance of a sum of 50 choices apart from each other is 50 * 0.1 * 0.9.
    assert float(sizes.mean()) == pytest.approx(5.0, abs=0.35)
    assert float(sizes.var()) == pytest.approx(4.5, rel=0.25)
    assert bool(((often - 0.1).abs() < 0.06).all())


def test_the_choice_may_be_empty_or_everything() -> None:
    stream = KeyedStream(secret_key())

    assert stream.chosen(7, 0.0).tolist() == []
    assert stream.chosen(7, 1.0).tolist() == list(range(7))


def test_a_seeded_stream_is_repeated_and_others_are_not() -> None:
    def first(key: bytes) -> list[float]:
        return KeyedStream(key).normal_like(torch.zeros(4), 1.0).tolist()

    assert first(seeded_key(0, "noise", 1)) == first(seeded_key(0, "noise", 1))
    different = [
        first(seeded_key(0, "noise", 2)),
        first(seeded_key(1, "noise", 1)),
        first(secret_key()),
        first(secret_key()),
    ]
    assert len({*map(tuple, different), tuple(first(seeded_key(0, "noise", 1)))}) == 5


def test_one_stream_goes_on_and_does_not_repeat_itself() -> None:
    stream = KeyedStream(secret_key())

    assert not torch.equal(stream.normal_like(torch.zeros(8), 1.0), stream.normal_like(torch.zeros(8), 1.0))
